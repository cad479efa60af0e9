"""All routes that are not hot: discovery, health, readiness, and what older clients ask for."""

from __future__ import annotations

from importlib.metadata import version

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from resonate.engine.engine import Engine
from resonate.protocol.envelope import Rules
from resonate.protocol.limits import (
    BATCH_REQUESTS_MAX,
    BODY_BYTES_MAX,
    DELAY_MS_MAX,
    SEARCH_LIMIT_MAX,
)
from resonate.protocol.requests import VERSION

_GONE = JSONResponse(
    {"error": "This endpoint is no longer supported. Please update to the latest SDK."},
    status_code=410,
)

_AGES = ["createdFrom", "createdTo", "settledFrom", "settledTo"]
_SEARCH = {
    "promise": ["idPrefix", "rootOnly", "order", *_AGES, "counts"],
    "task": ["idPrefix", "counts"],
    "schedule": ["idPrefix"],
}


class _Root(HTTPEndpoint):
    """``/``: discovery. ``post`` is answered before it gets here; it is named in Allow."""

    async def get(self, request: Request) -> Response:
        """Tell who we are and which extensions we have (section 8.1)."""
        return JSONResponse(discovery(request.app.state.rules))

    async def post(self, _request: Request) -> Response:
        """Answer where this application runs without the protocol class of ``hot``."""
        return PlainTextResponse("Not Implemented", status_code=501)


class _Poll(HTTPEndpoint):
    """``/poll/…``: what is a poll is answered before it gets here."""

    async def get(self, _request: Request) -> Response:
        """Refuse a path without a group or an id."""
        return PlainTextResponse("Not Found", status_code=404)


def application(engine: Engine) -> Starlette:
    """Return the ASGI application around ``engine``."""

    async def health(_request: Request) -> Response:
        """Answer while the process runs."""
        return Response()

    async def ready(_request: Request) -> Response:
        """Answer 200 while requests can be served, else 503 and why not."""
        if engine.problem is None:
            return PlainTextResponse("ready")
        return PlainTextResponse(engine.problem, status_code=503, headers={"retry-after": "1"})

    gone = [
        Route(path, _GONE)
        for name in ("promises", "tasks", "schedules")
        for path in (f"/{name}", f"/{name}/{{rest:path}}")
    ]
    app = Starlette(
        routes=[
            Route("/", _Root),
            Route("/poll/{rest:path}", _Poll),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
            *gone,
        ]
    )
    app.state.rules = engine.rules
    app.router.redirect_slashes = False  # a redirect is not among the answers of the protocol
    return app


def discovery(rules: Rules) -> dict[str, object]:
    """Return the discovery document. A strict server has no extension but batches (section 4)."""
    extensions: dict[str, object] = {"batch": {"max": BATCH_REQUESTS_MAX}}
    if not rules.strict:
        extensions |= {
            "poll": {"capacity": True, "claim": True, "presence": True, "functions": True},
            "heartbeat": {"lost": True},
            "release": {"delay": DELAY_MS_MAX},
            "search": _SEARCH,
        }
    return {
        "server": "resonate-py",
        "version": version("resonate-py"),
        "protocol": [VERSION],
        "mode": "strict" if rules.strict else "lenient",
        "extensions": extensions,
        "limits": {"bodyBytes": BODY_BYTES_MAX, "searchLimit": SEARCH_LIMIT_MAX},
    }
