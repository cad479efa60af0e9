"""``worker.py GROUP``: functions that others call, whatever their SDK is."""

from __future__ import annotations

import sys

from common import serve


async def add(_, a, b):
    return a + b


async def fail(_, text):
    raise ValueError(text)


serve(add, fail, group=sys.argv[1])
