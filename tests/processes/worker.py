"""A worker for the tests: ``worker.py URL LOG SETTINGS``.

It writes the start and the end of every execution into its own log. ``SETTINGS`` is JSON: ``drain``
makes it work until a signal, the rest goes to ``Resonate.remote``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time

from resonate import Resonate
from resonate.sdk.listeners import Listeners

url, path, text = sys.argv[1:]
settings = {"group": "workers", **json.loads(text)}
drain = settings.pop("drain", False)
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
resonate = Resonate.remote(url, **settings)


def note(what, id):
    line = json.dumps({"what": what, "id": id, "at": time.monotonic(), "pid": os.getpid()})
    os.write(log, line.encode() + b"\n")


@resonate.register
def work(ctx, seconds=0.0):
    note("start", ctx.id)
    time.sleep(seconds)
    note("end", ctx.id)
    return ctx.id


@resonate.register
async def work_async(ctx, seconds=0.0):
    note("start", ctx.id)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("cancelled", ctx.id)
        raise
    note("end", ctx.id)
    return ctx.id


def tell_when_open():
    """Print ``ready`` as soon as the stream is open, which the SDK tells its listeners."""
    register_all = Listeners.register_all

    def wrapped(self):
        register_all(self)
        note("open", "stream")
        print("ready", flush=True)

    Listeners.register_all = wrapped


tell_when_open()
if drain:
    resonate.run_until_signal()
    print("drained", flush=True)
else:
    resonate.start()
    threading.Event().wait()
