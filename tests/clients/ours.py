"""``ours.py URL GROUP``: a worker of our own SDK, with the functions of ``python/worker.py``."""

from __future__ import annotations

import sys

from resonate import Resonate

url, group = sys.argv[1:]
resonate = Resonate.remote(url, group=group)


@resonate.register
def add(_, a, b):
    return a + b


@resonate.register
def fail(_, text):
    raise ValueError(text)


resonate.run_until_signal()
