"""Exchanges: what is asked of the server, one thing after the other, and what is made of it.

An exchange is a generator. It yields the future of what it has asked for, and goes on with what
came of it. So what a call is stands in one place, and who carries it out decides how to wait:
``blocking`` on a thread, ``awaited`` on an event loop, ``in_background`` not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from resonate.protocol.answers import Answer
from resonate.sdk.errors import ResonateError, ResonateStoreError
from resonate.sdk.pool import tell
from resonate.sdk.sender import Item

T = TypeVar("T")
Exchange = Generator[Future[Item], Item, T]


def blocking(exchange: Exchange[T]) -> T:
    """Carry an exchange out, waiting on this thread; return what comes of it."""
    try:
        asked = next(exchange)
        while True:
            asked = _go_on(exchange, asked)
    except StopIteration as end:
        value: T = end.value
        return value


async def awaited(exchange: Exchange[T]) -> T:
    """Carry an exchange out, on the event loop that runs, without blocking it.

    When who awaits this is cancelled, it goes on alone: what was begun is not left half done.
    """
    task = asyncio.get_running_loop().create_task(_carry_out(exchange))
    task.add_done_callback(_seen)
    return await asyncio.shield(task)


def in_background(exchange: Exchange[object], ended: Callable[[Exception | None], None]) -> None:
    """Carry an exchange out as its answers arrive, where they do; ``ended`` is told, once."""

    def go_on(step: Callable[[], Future[Item]]) -> None:
        try:
            asked = step()
        except StopIteration:
            ended(None)
        except ResonateError as error:
            ended(error)
        else:
            asked.add_done_callback(lambda done: go_on(lambda: _go_on(exchange, done)))

    go_on(lambda: next(exchange))


def checked(answer: Answer) -> Answer:
    """Return an answer of success; raise ResonateStoreError for any other."""
    if answer.status not in (200, 300):
        raise ResonateStoreError(str(answer.data), answer.status)
    return answer


def into(asked: Future[Item]) -> Callable[[Item], None]:
    """Return what brings an item into the future of who asked."""

    def done(item: Item) -> None:
        if item.error is not None:
            asked.set_exception(item.error)
        else:
            asked.set_result(item)

    return done


def waiter(future: Future[Any]) -> asyncio.Future[None]:
    """Return what to await until a future of a thread is done; cancelling it changes nothing."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _done: tell(loop, _release, found))
    return found


async def _carry_out(exchange: Exchange[T]) -> T:
    try:
        asked = next(exchange)
        while True:
            await waiter(asked)
            asked = _go_on(exchange, asked)
    except StopIteration as end:
        value: T = end.value
        return value


def _go_on(exchange: Exchange[T], asked: Future[Item]) -> Future[Item]:
    try:
        item = asked.result()
    except Exception as error:  # noqa: BLE001  # it is the exchange's to handle
        return exchange.throw(error)
    return exchange.send(item)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _seen(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody waits for any more, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
