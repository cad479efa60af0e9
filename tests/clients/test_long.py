"""Official workers that stay connected: minutes, so only with RESONATE_CLIENTS_LONG set."""

from __future__ import annotations

import re
import time

import pytest

from tests.clients.clients import CLIENTS

CONNECTED = "established|adapter connected|adapter reconnected"
CONNECTED_SECONDS = 370  # the stream of both Python SDKs dies for ever when it gets 300 s old


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_workers_still_work_after_six_minutes(client_of, us):
    workers = [(name, client_of(name).start("worker", name)) for name in CLIENTS]
    for _, worker in workers:
        worker.wait_for(CONNECTED, 20)
    time.sleep(CONNECTED_SECONDS)
    for name, worker in workers:
        there = us.options(target=name)
        began = time.monotonic()
        assert there.begin_rpc(f"late-{name}", "add", 2, 3).result(20) == 5
        seconds = time.monotonic() - began
        streams = len(re.findall(CONNECTED, worker.text))
        print(f"{name}: {streams} streams, answered in {seconds:.3f} s")
        assert streams >= 2
        assert seconds < 5
