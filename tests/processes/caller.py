"""A caller for the tests: ``caller.py URL HOW ID [SECONDS]``; prints ``begun``, then the result.

``begin`` only begins the call and waits to be killed; ``rpc`` waits for the result.
"""

from __future__ import annotations

import sys
import threading

from resonate import Resonate

url, how, promise_id, *rest = sys.argv[1:]
resonate = Resonate.remote(url, group="callers").options(target="workers")
handle = resonate.begin_rpc(promise_id, "work", *map(float, rest))
print("begun", flush=True)
if how == "begin":
    threading.Event().wait()
print("result", handle.result(), flush=True)
