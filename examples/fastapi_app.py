"""Durable calls behind a web API with FastAPI, all in `async def`; needs `pip install fastapi`.

    python examples/fastapi_app.py                              http://127.0.0.1:8080
    curl -s -X PUT 'http://127.0.0.1:8080/reports/july?pages=3'
    curl -s http://127.0.0.1:8080/reports/july

PUT begins the report and may be repeated: its id is that of the URL. GET tells how far it is. The
calls and the functions of an `AsyncResonate` run on the event loop of the application.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from resonate import AsyncResonate, Context
from resonate.errors import ResonateStoreError

resonate = AsyncResonate(group="reports")


async def write(_: Context, number: int) -> str:
    return f"page {number}"


@resonate.register
async def make_report(ctx: Context, pages: int) -> list[str]:
    written = []
    for number in range(1, pages + 1):
        written.append(await ctx.run(write, number))
        await ctx.sleep(0.01)
    return written


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with resonate:  # at the end it stops, and hands back what is not finished
        resonate.start()  # this process is a worker, too; leave it out if others are
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/reports/{name}", status_code=202)
async def begin(name: str, pages: int) -> dict[str, str]:
    handle = await make_report.begin_rpc(f"report-{name}", pages)
    return {"id": handle.id}


@app.get("/reports/{name}")
async def look(name: str) -> dict[str, Any]:
    try:
        report = await resonate.promises.get(f"report-{name}")
    except ResonateStoreError as error:
        if error.code != 404:
            raise
        raise HTTPException(404, "no such report") from None
    result = json.loads(report.value.data) if report.resolved else None
    return {"state": report.state, "result": result}


def main(port="8080"):
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
