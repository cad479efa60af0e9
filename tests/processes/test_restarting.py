"""The server is killed or stopped in the middle of everything, and comes back on the same file."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from tests.processes.children import until


class Load:
    """Threads that make calls; what was acknowledged has a handle."""

    def __init__(self, resonate, calls, seconds):
        self.handles = []
        self.failures = []
        self._resonate = resonate
        self._numbers = iter(range(calls))
        self._seconds = seconds
        self.threads = [threading.Thread(target=self._call) for _ in range(8)]
        for thread in self.threads:
            thread.start()

    def _call(self):
        for number in self._numbers:
            try:
                self.handles.append(
                    self._resonate.begin_rpc(f"call{number}", "work", self._seconds)
                )
            except BaseException as error:
                self.failures.append(error)
                raise
            time.sleep(0.001)

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        assert self.failures == []


def survive(children, connect, calls, restarts):
    """Restart the server in the middle of calls; hold that each is executed once."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    server = children.server()
    workers = children.workers(server.url, 2, concurrency=8, ttl=2)
    load = Load(connect(server.url), calls, 0.01)
    for restart in restarts:
        until(lambda: len(load.handles) > chance.uniform(0.05, 0.3) * calls)
        time.sleep(chance.uniform(0, 0.2))
        assert restart(server) in (None, 0)
        time.sleep(chance.uniform(0, 0.3))
        server.start()
    load.join()
    assert len(load.handles) == calls
    for handle in load.handles:
        assert handle.result(20) == handle.id
    counts = Counter(each for worker in workers for each in worker.started())
    assert counts == {f"call{number}": 1 for number in range(calls)}
    assert [worker.child.running for worker in workers] == [True, True]


def test_calls_survive_a_killed_server(children, connect):
    survive(children, connect, 200, [lambda server: server.kill()])


@pytest.mark.slow
def test_calls_survive_a_stopped_server(children, connect):
    survive(children, connect, 300, [lambda server: server.terminate()])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_many_calls_survive_many_restarts(children, connect):
    kill, terminate = (lambda server: server.kill()), (lambda server: server.terminate())
    survive(children, connect, 3000, [kill, kill, terminate, kill, terminate, kill])
