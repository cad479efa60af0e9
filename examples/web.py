"""Durable calls behind a web API, with Starlette, which is installed along with this package.

    python examples/web.py                                      http://127.0.0.1:8080
    curl -s -X PUT 'http://127.0.0.1:8080/reports/july?pages=3'
    curl -s http://127.0.0.1:8080/reports/july

PUT begins the report and may be repeated: its id is that of the URL. GET tells how far it is. The
calls of Resonate wait for the server, so the endpoints are plain `def`, which Starlette runs on
threads, not on its event loop.

fastapi_app.py is the same with FastAPI, on the event loop.
"""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from resonate import Context, Resonate
from resonate.errors import ResonateStoreError

resonate = Resonate(group="reports")


def write(_: Context, number: int) -> str:
    return f"page {number}"


@resonate.register
def make_report(ctx: Context, pages: int):
    written = []
    for number in range(1, pages + 1):
        written.append((yield ctx.run(write, number)))
        yield ctx.sleep(0.01)
    return written


def begin(request: Request) -> JSONResponse:
    id = f"report-{request.path_params['name']}"
    make_report.begin_rpc(id, int(request.query_params["pages"]))
    return JSONResponse({"id": id}, status_code=202)


def look(request: Request) -> JSONResponse:
    try:
        report = resonate.promises.get(f"report-{request.path_params['name']}")
    except ResonateStoreError as error:
        if error.code != 404:
            raise
        return JSONResponse({"state": "unknown"}, status_code=404)
    result = json.loads(report.value.data) if report.resolved else None
    return JSONResponse({"state": report.state, "result": result})


@asynccontextmanager
async def lifespan(_: Starlette):
    resonate.start()  # this process is a worker, too; leave it out if others are
    yield
    resonate.stop()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/reports/{name}", begin, methods=["PUT"]),
        Route("/reports/{name}", look, methods=["GET"]),
    ],
)


def main(port="8080"):
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
