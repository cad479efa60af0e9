"""What ``serve`` and ``dev`` share: their options, and a server from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resonate.protocol.limits import GRACE_MS

if TYPE_CHECKING:
    from resonate.store.contract import Store

_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LEVELS = ("debug", "info", "warning", "error")
_PORT = 8001


class Age(click.ParamType[int]):
    """A time in words, such as 30d, in milliseconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number and its unit."""
        text = str(value)
        number, unit = text[:-1], text[-1:]
        if not (number.isascii() and number.isdigit() and len(number) <= 9 and unit in _MS):
            self.fail(
                f"{text!r} is no time: give a number with s, m, h or d, as in 30d", param, ctx
            )
        return int(number) * _MS[unit]


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
    click.option(
        "--retention",
        type=Age(),
        metavar="AGE",
        help="Delete promises that have been settled for so long and are referred to by nothing, "
        "such as 30d, 12h, 90m or 60s; their ids are unknown then. [default: keep everything]",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Refuse what the protocol's specification refuses; published clients need it off.",
    ),
    click.option(
        "--debug",
        is_flag=True,
        help="Allow debug operations: whoever reaches the server can stop time and delete all.",
    ),
    click.option(
        "--trace",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Append every request and its answer to FILE, a JSON line each.",
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
    retention: int | None,
    strict: bool,
    debug: bool,
    trace: Path | None,
) -> None:
    """Serve ``store`` until SIGINT or SIGTERM. ``where`` says where its data is.

    What hinders the start becomes one sentence on stderr and exit status 1.
    """
    from resonate.engine.engine import Engine
    from resonate.engine.trace import Trace
    from resonate.gateway.poster import HttpPoster
    from resonate.gateway.server import listen, serve, url_of
    from resonate.protocol.envelope import LENIENT, Rules
    from resonate.protocol.errors import StartError

    _set_up_logging(log_level)
    _warn_if_open(host, debug=debug)
    poster = HttpPoster()
    try:
        with contextlib.closing(listen(host, port)) as sock:
            here = url_of(sock)
            engine = Engine(
                store,
                server_url=url or here,
                grace_ms=grace_ms,
                rules=Rules(strict=strict, debug=debug) if strict or debug else LENIENT,
                poster=poster,
                retention_ms=retention,
                trace=None if trace is None else Trace(trace),
            )

            def started() -> None:
                click.echo(f"resonate {version('resonate-py')} serving {here} ({where})")

            async def serve_and_close() -> None:
                try:
                    await serve(engine, sock, started)
                finally:
                    await poster.close()

            _run(serve_and_close())
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


def _warn_if_open(host: str, *, debug: bool) -> None:
    if _is_loopback(host):
        return
    if debug:
        raise click.ClickException(
            f"{host} can be reached from other machines, and with --debug whoever reaches the "
            "server can delete everything: leave --debug out, or listen on 127.0.0.1"
        )
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
