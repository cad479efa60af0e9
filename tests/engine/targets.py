"""HTTP servers that tasks and unblocks are pushed to: each remembers what was posted to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from resonate.gateway.poster import HttpPoster


class Post(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    message: Any
    time: float


class Target:
    """What is posted to ``url``. While ``gate`` is closed nothing is answered.

    ``statuses`` are what it answers next, then ``status``.
    """

    def __init__(self) -> None:
        self.url = ""
        self.posts: list[Post] = []
        self.status = 200
        self.statuses: deque[int] = deque()
        self.answer_headers: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most = 0

    @property
    def tasks(self) -> list[str]:
        """Ids of the tasks that it was asked to execute, in order."""
        return [each.message["data"]["task"]["id"] for each in self._of("execute")]

    @property
    def told(self) -> list[str]:
        """Ids of the promises that it was told of, in order."""
        return [each.message["data"]["promise"]["id"] for each in self._of("unblock")]

    @property
    def pauses(self) -> list[float]:
        """Seconds between one POST and the next."""
        times = [each.time for each in self.posts]
        return [later - earlier for earlier, later in itertools.pairwise(times)]

    def _of(self, kind: str) -> list[Post]:
        return [each for each in self.posts if each.message["kind"] == kind]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        message = json.loads(await request.read())
        now = asyncio.get_running_loop().time()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.posts.append(Post(request.method, request.path_qs, headers, message, now))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        status = self.statuses.popleft() if self.statuses else self.status
        return web.Response(status=status, headers=self.answer_headers, text="not read")


@asynccontextmanager
async def target(path: str = "/work", port: int = 0) -> AsyncIterator[Target]:
    """Start one on a free port, or on ``port``."""
    made = Target()
    runner = web.ServerRunner(web.Server(made.handle, access_log=None), shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    host, port = runner.addresses[0]
    made.url = f"http://{host}:{port}{path}"
    try:
        yield made
    finally:
        made.gate.set()
        await runner.cleanup()


@asynccontextmanager
async def pushing(servers, *, settings=None, **options):
    """Start a server that posts."""
    poster = HttpPoster()
    try:
        async with servers.start(settings={"poster": poster, **(settings or {})}, **options) as it:
            yield it
    finally:
        await poster.close()
