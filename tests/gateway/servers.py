"""A real server on a real socket, on an event loop of its own in a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvloop

from resonate.engine.engine import Engine
from resonate.gateway import server
from resonate.store.memory import MemoryStore
from tests.gateway.wire import SECONDS, Client, Events, create, eventually, get, post

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class Server:
    """Begins with the constructor; ``stop`` is what a signal does to a process."""

    def __init__(
        self, *, store: Any = None, loop: str = "uvloop", poster: Any = None, **options: Any
    ) -> None:
        self.sock = server.listen("127.0.0.1", 0)
        self.port = self.sock.getsockname()[1]
        url = server.url_of(self.sock)
        self.engine = Engine(store or MemoryStore(), server_url=url, poster=poster, **options)
        self._poster = poster
        self.uvicorn: Any
        self._loop = LOOPS[loop]
        self._ready = threading.Event()
        self._interval = sys.getswitchinterval()
        self._result: concurrent.futures.Future[None] = concurrent.futures.Future()
        threading.Thread(target=self._run, name="server", daemon=True).start()
        eventually(lambda: self._ready.is_set() or self._result.done())
        if self._result.done():
            self.sock.close()
            self._result.result()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop) as runner:
                self.loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # told by stop()
            self._result.set_exception(error)
        else:
            self._result.set_result(None)

    async def _serve(self) -> None:
        self._task = asyncio.current_task()
        made = server._Server

        def remember(*arguments: Any) -> Any:
            self.uvicorn = made(*arguments)
            return self.uvicorn

        server._Server = remember
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await server.serve(self.engine, self.sock, self._started)
        finally:
            if self._poster is not None:
                await self._poster.close()

    def _started(self) -> None:
        server._Server = type(self.uvicorn)
        self._ready.set()

    def begin_stop(self) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)

    def stop(self) -> None:
        if not self._result.done():
            self.begin_stop()
        self.join()

    def join(self) -> None:
        self._result.result(SECONDS)
        sys.setswitchinterval(self._interval)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on the server's loop and return its result."""

        async def run() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(SECONDS)

    # --- shorthands -------------------------------------------------------------------------------

    def client(self, **options: Any) -> Client:
        return Client(self.port, **options)

    def events(self, target: str, **options: Any) -> Events:
        return Events(self.port, target, **options)

    def post(self, kind: str, data: Any) -> Any:
        """Ask on a connection of its own; return the answer's data, which must be 200."""
        with self.client() as client:
            answer = client.ask(post(kind, data))
            assert answer.status == 200, answer
            return answer.json["data"]

    def task(self, task_id: str, target: str) -> None:
        """Make a task."""
        self.post("promise.create", create(task_id, target=target))

    def settle(self, promise_id: str) -> None:
        self.post("promise.settle", {"id": promise_id, "state": "resolved"})

    def connections(self) -> list[Any]:
        """Return the protocol instances of all open connections."""
        return self.call(lambda: list(self.uvicorn.server_state.connections))

    def members(self, group: str) -> list[str]:
        """Return who is connected to a group."""
        groups = self.engine.directory.groups
        return self.call(lambda: list(groups[group].members) if group in groups else [])

    def member(self, group: str, pid: str) -> Any:
        return self.call(self.engine.directory.find, group, pid)

    def probe(self) -> None:
        """Hold that the next request is served."""
        with self.client() as client:
            assert client.ask(get(b"/health")).status == 200
            answer = client.ask(post("promise.get", {"id": "nobody made this"}, "probe"))
            assert (answer.status, answer.json["head"]["corrId"]) == (404, "probe")

    def gone(self, group: str) -> None:
        eventually(lambda: not self.members(group))
