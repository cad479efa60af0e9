"""A proxy between SDK and server: it sees every request, hides what is ours, breaks things."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

LOSE_REQUEST = "the connection breaks before the server has the request"
LOSE_ANSWER = "the connection breaks after the server carried the request out"
HANG = "nothing ever comes back"
SWALLOW_ANSWER = "nothing ever comes back although the server carried the request out"
GARBAGE = "an answer that is no JSON"

Rule = Callable[[list[dict[str, Any]]], "str | tuple[int, str] | None"]


class Proxy:
    """``plain`` makes the server one without our extensions.

    ``rule`` is asked about each POST, given its envelopes: one of the faults above, (status, text)
    to be answered in the server's place, or None to let it pass.

    ``held`` are methods whose requests wait while they are in it, ``delay`` the seconds each POST
    takes, and ``spoil`` may change the answers, given the requests.
    """

    def __init__(self, upstream: str, *, plain: bool = False) -> None:
        self.upstream = upstream
        self.plain = plain
        self.rule: Rule | None = None
        self.posts: list[list[dict[str, Any]]] = []
        self.polls: list[str] = []
        self.longest = 100_000  # characters of a path of a stream, beyond which the answer is:
        self.too_long = 414
        self.events: list[dict[str, Any]] = []
        self.swallow = False  # events
        self.held: set[str] = set()
        self.delay = 0.0
        self.spoil: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None] | None = None
        self.asked = 0  # what it can
        self.ports: list[int] = []  # from which the requests came
        self.discovery: Callable[[], web.Response] | str | None = None  # or LOSE_REQUEST
        self._streams: set[web.StreamResponse] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(each["kind"] for post in list(self.posts) for each in post)

    def cut(self) -> None:
        """Break every stream."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _cut(self) -> None:
        for response in list(self._streams):
            transport = response._req.transport
            if transport is not None:
                transport.abort()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/", self._discover)
        app.router.add_post("/", self._post)
        app.router.add_get("/poll/{rest:.*}", self._poll)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as self._session:
            web_runner = web.AppRunner(app, shutdown_timeout=0.01)
            await web_runner.setup()
            site = web.TCPSite(web_runner, "127.0.0.1", 0)
            await site.start()
            host, port = site._server.sockets[0].getsockname()
            self.url = f"http://{host}:{port}"
            self._ready.set()
            await self._over.wait()
            self._loop.remove_reader(site._server.sockets[0].fileno())
            await _accepted()
            for connection in web_runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await web_runner.cleanup()

    async def _hold(self, request: web.Request) -> None:
        self.ports.append(request.transport.get_extra_info("peername")[1])
        while request.method in self.held:  # noqa: ASYNC110  # the test runs on another thread
            await asyncio.sleep(0.001)

    async def _discover(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self._hold(request)
        if self.discovery == LOSE_REQUEST:
            request.transport.abort()
            return web.Response()
        if callable(self.discovery):
            return self.discovery()
        if self.plain:
            return web.Response(status=404, text="not found")
        async with self._session.get(self.upstream + "/") as response:
            return web.Response(body=await response.read(), content_type="application/json")

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        found = json.loads(body)
        batch = isinstance(found, list)
        envelopes = found if batch else [found]
        self.posts.append(envelopes)
        await self._hold(request)
        await asyncio.sleep(self.delay)
        if self.plain and batch:
            return _answer(envelopes[0], 400, "Invalid request envelope: expected an object")
        action = self.rule(envelopes) if self.rule else None
        if isinstance(action, tuple):
            answers = [_envelope(each, *action) for each in envelopes]
            status = 200 if batch and action[0] != 503 else action[0]
            return web.json_response(answers if batch else answers[0], status=status)
        if action == GARBAGE:
            return web.Response(status=502, text="<html>Bad gateway</html>")
        if action == HANG:
            await self._over.wait()
        if action == LOSE_REQUEST:
            request.transport.abort()
            return web.Response()
        async with self._session.post(self.upstream + "/", data=body) as response:
            answer = await response.read()
        if action == SWALLOW_ANSWER:
            await self._over.wait()
        if action == LOSE_ANSWER:
            request.transport.abort()
        if self.spoil is not None:
            answers = json.loads(answer)
            self.spoil(envelopes, answers if isinstance(answers, list) else [answers])
            answer = json.dumps(answers).encode()
        return web.Response(body=answer, status=response.status, content_type="application/json")

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path if self.plain else request.rel_url.raw_path_qs
        self.polls.append(path)
        await self._hold(request)
        if len(path) > self.longest:
            return web.Response(status=self.too_long)
        async with self._session.get(URL(self.upstream + path, encoded=True)) as upstream:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            self._streams.add(response)
            try:
                async for chunk in upstream.content.iter_any():
                    for line in chunk.split(b"\n"):
                        if line.startswith(b"data: "):
                            self.events.append(json.loads(line[6:]))
                    if not self.swallow:
                        await response.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                pass
            finally:
                self._streams.discard(response)
            return response


async def _accepted() -> None:
    """Wait until asyncio has made transports of all connections that it accepted.

    It forgets to close those that it was still at when the listening socket is closed.
    """
    while accepting := [
        task for task in asyncio.all_tasks() if "accept" in task.get_coro().__qualname__
    ]:
        await asyncio.wait(accepting)


def _envelope(request: dict[str, Any], status: int, text: str) -> dict[str, Any]:
    head = {"corrId": request["head"]["corrId"], "status": status, "version": "2026-04-01"}
    return {"kind": request["kind"], "head": head, "data": text}


def _answer(request: dict[str, Any], status: int, text: str) -> web.Response:
    return web.json_response(_envelope(request, status, text), status=status)


def only(kind: str, action: Any, times: int = 1_000_000) -> Rule:
    """Return a rule for the first ``times`` posts that have a request of this kind in them."""
    left = [times]

    def rule(envelopes: list[dict[str, Any]]) -> Any:
        if left[0] and any(each["kind"] == kind for each in envelopes):
            left[0] -= 1
            return action
        return None

    return rule
