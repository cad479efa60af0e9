"""The network between clients and the server: requests and streams that get lost, doubled, late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from resonate.engine.members import Terms
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.messages import Message
from simulation.checks import Checks
from simulation.faults import Chance
from simulation.loop import Process, VirtualLoop
from simulation.server import Server

TIMEOUT_SECONDS = 2.0


class Lost(Exception):
    """No answer: nobody knows what the server did."""


class Network:
    """Brings requests to whichever server runs, and answers back."""

    def __init__(self, loop: VirtualLoop, chance: Chance, checks: Checks, server: Server) -> None:
        self.loop = loop
        self.chance = chance
        self.checks = checks
        self.server = server
        self._answering: dict[asyncio.Future[Any], None] = {}  # in order: sets of objects have none
        self.streams: dict[Stream, None] = {}
        server.crashed = self._crashed

    async def ask(self, process: Process, *requests: rq.Request) -> list[Answer]:
        """Send requests in one body; raises Lost."""
        chance = self.chance
        answered: asyncio.Future[list[Answer]] = self.loop.create_future()
        self._answering[answered] = None

        def tell(answers: list[Answer]) -> None:
            self.checks.told(list(requests), answers)
            if not chance.happens(chance.loss):
                self.loop.after(chance.delay(), process, _resolve, answered, answers)

        copies = 2 if chance.happens(chance.doubling) else 1
        for number in range(copies):
            if not chance.happens(chance.loss):
                reply = tell if number == 0 else self._unheard(list(requests))
                self.loop.after(chance.delay(), process, self._arrive, list(requests), reply)
        try:
            return await asyncio.wait_for(answered, TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise Lost from error
        finally:
            self._answering.pop(answered, None)

    def _unheard(self, requests: list[rq.Request]) -> Callable[[list[Answer]], None]:
        return lambda answers: self.checks.told(requests, answers)

    def _arrive(self, requests: list[rq.Request], reply: Callable[[list[Answer]], None]) -> None:
        engine = self.server.engine
        if engine is not None:
            self.loop.run_as(self.server.process, engine.submit, requests, reply)

    def _crashed(self) -> None:
        """The server is gone: its connections break, and clients notice at once."""
        for answered in list(self._answering):
            if not answered.done():
                answered.set_exception(Lost())
        for stream in list(self.streams):
            stream.broke()


class Stream:
    """A connection of a worker or caller; ``receive`` gets its messages, in order."""

    def __init__(
        self,
        network: Network,
        process: Process,
        group: str,
        pid: str,
        terms: Terms,
        receive: Callable[[Message], None],
    ) -> None:
        self._network = network
        self._process = process
        self._receive = receive
        self._server = network.server.process
        self._arrives = 0.0
        self._cut = False
        self.ended = asyncio.Event()
        engine = network.server.engine
        assert engine is not None
        network.streams[self] = None
        self._member = network.loop.run_as(
            self._server, engine.connections.connect, group, pid, terms, self
        )
        self._engine = engine

    def send(self, message: Message) -> bool:
        """Bring a message to the client, unless the line is cut."""
        if self._cut:
            return False
        network = self._network
        network.checks.sent(message)
        self._arrives = max(self._arrives, network.loop.now + network.chance.delay())
        seconds = self._arrives - network.loop.now
        network.loop.after(seconds, self._process, self._deliver, message)
        return True

    def _deliver(self, message: Message) -> None:
        if not self._cut:
            self._receive(message)

    def end(self) -> None:
        """The server ends the stream."""
        self.cut(noticed=0.0)

    def cut(self, noticed: float) -> None:
        """Cut the line; the server notices after so many seconds, the client at once."""
        if self._cut:
            return
        self._cut = True
        self._network.streams.pop(self, None)
        self._network.loop.after(noticed, self._server, self._leave)
        self._network.loop.after(0, self._process, self.ended.set)

    def broke(self) -> None:
        """The server is gone."""
        self._cut = True
        self._network.streams.pop(self, None)
        self._network.loop.after(self._network.chance.delay(), self._process, self.ended.set)

    def _leave(self) -> None:
        self._engine.connections.disconnect(self._member)


def _resolve(answered: asyncio.Future[Any], answers: list[Answer]) -> None:
    if not answered.done():
        answered.set_result(answers)
