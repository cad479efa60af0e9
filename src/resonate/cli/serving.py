"""What ``serve`` and ``dev`` share: their options, and a server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

import click

from resonate.protocol.limits import GRACE_MS

if TYPE_CHECKING:
    from resonate.store.contract import Store

_LEVELS = ("debug", "info", "warning", "error")
_PORT = 8001
_OPTIONS = (
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        type=click.IntRange(0, 65_535),
        default=_PORT,
        show_default=True,
        help="Port to listen on; 0 takes a free one.",
    ),
    click.option(
        "--grace-ms",
        type=click.IntRange(0),
        default=GRACE_MS,
        show_default=True,
        metavar="MS",
        help="Time a worker that lost its connection has to come back before others get its work.",
    ),
    click.option(
        "--url",
        metavar="URL",
        help="URL of this server as workers see it, for example behind a proxy. "
        "[default: from host and port]",
    ),
    click.option(
        "--log-level",
        type=click.Choice(_LEVELS, case_sensitive=False),
        default="info",
        show_default=True,
        help="What is logged to stderr.",
    ),
)

F = TypeVar("F", bound=Callable[..., None])


def options(command: F) -> F:
    """Give a command the options of a server."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run(
    store: Store,
    where: str,
    *,
    host: str,
    port: int,
    grace_ms: int,
    url: str | None,
    log_level: str,
) -> None:
    """Serve ``store`` until SIGINT or SIGTERM. ``where`` says where its data is.

    What hinders the start becomes one sentence on stderr and exit status 1.
    """
    from resonate.engine.engine import Engine
    from resonate.gateway.server import listen, serve, url_of
    from resonate.protocol.errors import StartError

    _set_up_logging(log_level)
    _warn_if_open(host)
    try:
        with contextlib.closing(listen(host, port)) as sock:
            here = url_of(sock)
            engine = Engine(store, server_url=url or here, grace_ms=grace_ms)

            def started() -> None:
                click.echo(f"resonate {version('resonate-py')} serving {here} ({where})")

            _run(serve(engine, sock, started))
    except StartError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        pass  # before the server took the signals over: there was nothing to stop yet


def _run(coroutine: Coroutine[None, None, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(coroutine)
    else:
        import uvloop

        uvloop.run(coroutine)


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it tells what our one line tells


def _warn_if_open(host: str) -> None:
    if not _is_loopback(host):
        click.echo(
            f"Warning: {host} can be reached from other machines, and there is no access control "
            "yet: whoever reaches it may call every function and read every result.",
            err=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
