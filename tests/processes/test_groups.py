"""Workers of a group and callers that come, go and repeat themselves."""

from __future__ import annotations

import itertools
import re
import signal

import pytest

from tests.processes.children import HERE, until

EXAMPLES = HERE.parent.parent / "examples" / "load-balancing"
CALLER = HERE / "caller.py"


@pytest.mark.slow
def test_the_example_as_its_user_wrote_it(children, connect):
    server = children.server()
    port = server.url.rpartition(":")[2]
    workers = [
        children.spawn(f"worker-{n}", EXAMPLES / "worker.py", RESONATE_PORT=port) for n in range(3)
    ]
    for worker in workers:
        worker.wait_for("worker running")
    invokers = [
        children.spawn(f"invoke-{n}", EXAMPLES / "invoke.py", RESONATE_PORT=port) for n in range(12)
    ]
    for invoker in invokers:
        assert (invoker.wait(20), invoker.lines) == (0, [])

    def ids():
        return [re.findall(r"starting computation (\S+)", worker.text) for worker in workers]

    until(lambda: sum(map(len, ids())) == 12)
    assert [len(each) for each in ids()] == [4, 4, 4]
    resonate = connect(server.url)
    for promise_id in itertools.chain(*ids()):
        assert resonate.get(promise_id).result(15) is None
    assert sum(worker.text.count("computed something that cost") for worker in workers) == 12


def test_a_call_made_before_any_worker_starts_as_soon_as_one_joins(children, connect):
    server = children.server()
    resonate = connect(server.url)
    delays = []
    for number in range(3):
        handle = resonate.begin_rpc(f"early{number}", "work")
        worker = children.worker(server.url)
        assert handle.result(10) == handle.id
        started = until(lambda w=worker, h=handle: w.when("start", h.id))
        delays.append((started - worker.when("open", "stream")) * 1000)
        worker.child.end()
    print("worker joined to function entered, ms:", *(f"{each:.1f}" for each in delays))
    assert max(delays) < 100


@pytest.mark.slow
def test_calls_spread_over_workers_and_all_complete(children, connect):
    server = children.server()
    workers = children.workers(server.url, 3, concurrency=2)
    resonate = connect(server.url)
    handles = [resonate.begin_rpc(f"call{n}", "work", 0.05) for n in range(60)]
    assert [handle.result(10) for handle in handles] == [handle.id for handle in handles]
    counts = [len(worker.started()) for worker in workers]
    assert sum(counts) == 60
    assert min(counts) >= 15


def test_the_same_id_from_several_processes_is_executed_once(children):
    server = children.server()
    workers = children.workers(server.url, 2)
    callers = [
        children.spawn(f"caller-{n}", CALLER, server.url, "rpc", "same", 0.3) for n in range(2)
    ]
    for caller in callers:
        caller.wait_for("result same")
        assert caller.wait() == 0
    late = children.spawn("late", CALLER, server.url, "rpc", "same", 0.3)
    late.wait_for("result same")
    assert [each for worker in workers for each in worker.started()] == ["same"]


def test_a_caller_that_is_killed_right_after_the_call_is_not_needed(children, connect):
    server = children.server()
    caller = children.spawn("caller", CALLER, server.url, "begin", "orphan", 0.2)
    caller.wait_for("begun")
    caller.send(signal.SIGKILL)
    caller.wait()
    worker = children.worker(server.url)
    assert connect(server.url).get("orphan").result(10) == "orphan"
    assert worker.started() == ["orphan"]


@pytest.mark.slow
def test_a_caller_that_is_killed_while_its_call_runs_is_not_needed(children, connect):
    server = children.server()
    worker = children.worker(server.url).ready()
    caller = children.spawn("caller", CALLER, server.url, "rpc", "orphan", 0.5)
    until(lambda: worker.started() == ["orphan"])
    caller.send(signal.SIGKILL)
    caller.wait()
    assert connect(server.url).get("orphan").result(10) == "orphan"
    assert worker.started() == ["orphan"]
