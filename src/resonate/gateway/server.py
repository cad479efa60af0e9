"""Put together: an engine, the HTTP server around it, and their common life.

Rules:
- The engine starts before the first connection is accepted and stops after the last is closed.
- SIGINT and SIGTERM stop cleanly: streams are ended, requests under way are answered, the store is
  closed. A second signal does not wait for connections. Cancelling ``serve`` does the same.
- Clients that are too slow, in sending or in reading, are looked for every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from resonate.engine.engine import Engine
from resonate.gateway.app import application
from resonate.gateway.hot import Gateway, HotProtocol
from resonate.protocol.errors import StartError
from resonate.protocol.limits import IDLE_SECONDS_MAX, SWEEP_SECONDS

_SWITCH_SECONDS = 0.0005  # the store's writer gets the GIL back within this time
_BACKLOG = 4096
_SHUTDOWN_SECONDS = 10


def listen(host: str, port: int) -> socket.socket:
    """Bind ``host:port`` (0: a free one); raises StartError with what to do when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two programs have the same port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OverflowError as error:
        sock.close()
        raise StartError(f"there is no port {port}: it must be from 0 to 65535") from error
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} on {host} is taken by another program: "
                "stop it, or choose another port with --port"
            ) from error
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Return the URL under which a listening socket is reached from this machine."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(engine: Engine, sock: socket.socket, started: Callable[[], None]) -> None:
    """Serve ``engine`` on ``sock`` until a signal; ``started`` is called when it is ready.

    Raises StartError when the engine's store cannot be opened.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gateway = Gateway(engine)
    protocol = type("BoundHotProtocol", (HotProtocol,), {"gateway": gateway})
    config = uvicorn.Config(
        application(engine),
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=IDLE_SECONDS_MAX,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _Server(config, started)
    await engine.start()
    try:
        gc.freeze()
        loop = asyncio.get_running_loop()
        sweeper = loop.create_task(_sweep(server))
        serving = loop.create_task(server.serve(sockets=[sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise
        finally:
            sweeper.cancel()
    finally:
        await engine.stop()


class _Server(uvicorn.Server):
    """uvicorn's server with signals that end it cleanly, instead of being raised again."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, HotProtocol):
                connection.transport.abort()  # its client does not take the end
        await asyncio.sleep(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        try:
            for number in numbers:
                loop.add_signal_handler(number, self.handle_exit, number, None)
        except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            with super().capture_signals():
                yield
            return
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


async def _sweep(server: uvicorn.Server) -> None:
    """Close connections whose client does not send or read in time."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for connection in list(server.server_state.connections):
            if isinstance(connection, HotProtocol):
                connection.sweep(loop.time())
