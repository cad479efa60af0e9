"""Functions that run in processes of their own: what they are, and what becomes of them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resonate import AsyncResonate, Resonate
from resonate.errors import (
    ArgumentsError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateStoreError,
)
from resonate.retry_policies import Constant
from resonate.sdk.errors import ProcessDiedError
from resonate.sdk.processes import Processes, _processors
from resonate.testing import Harness
from tests.processes.children import until
from tests.sdk import crunching

ROOT = Path(__file__).resolve().parents[2]
YEAR = datetime(2020, 1, 1, tzinfo=UTC)


def alive(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


@pytest.fixture(scope="module")
def crunch():
    """A Resonate that keeps its processes over the tests of this file."""
    resonate = Resonate.local(ttl=1)
    for func in (crunching.facts, crunching.ask, crunching.speak, crunching.fail, crunching.give):
        in_process(resonate, func)
    yield resonate
    resonate.stop(0)


def in_process(resonate, func, **options):
    return resonate.register(func, executor="process", **options)


# --- what it is -----------------------------------------------------------------------------------


def test_it_runs_in_another_process_that_is_used_again_and_knows_the_facts(crunch):
    first, second = (crunch.run(id, crunching.facts, YEAR, more=2) for id in "ab")
    assert first[0] == second[0] != os.getpid()
    assert first[1:] == ["a", 1, "a", False, 2022]
    with pytest.raises(ArgumentsError, match="was called with"):
        crunch.rpc("c", "facts", "no date")


def test_a_function_that_is_registered_so_runs_so_as_a_step_too(crunch):
    @crunch.register
    def workflow(ctx):
        return (yield ctx.run(crunching.facts, YEAR))

    pid, *facts = workflow.run("w")
    assert pid != os.getpid()
    assert facts[:3] == ["w.1", 1, "w"]


def test_the_function_itself_may_be_called_here(local):
    assert in_process(local, crunching.Group.method)(None) == "of a class"
    assert local.run("id", "method") == "of a class"


def closure():
    def inner(ctx):
        pass

    return inner


def of_the_program():
    def f(ctx):
        pass

    f.__module__, f.__qualname__ = "__main__", "f"
    return f


@pytest.mark.parametrize(
    ("func", "error", "text"),
    [
        (closure(), ValueError, "cannot be imported by its name"),
        (lambda ctx: 1, ValueError, "cannot be imported by its name"),
        (of_the_program(), ValueError, "put it in a module of its own"),
        (crunching.generator, TypeError, "call that from this one by ctx.run"),
        (crunching.coroutine, TypeError, "call that from this one by ctx.run"),
    ],
)
def test_what_cannot_run_so_is_refused_at_once(local, func, error, text):
    with pytest.raises(error, match=text):
        in_process(local, func, name="f")
    with pytest.raises(ValueError, match="executor must be None or 'process', got 'thread'"):
        local.register(func, name="f", executor="thread")


def test_a_function_that_its_name_does_not_lead_to_is_never_mistaken_for_another(local):
    first = in_process(local, crunching.first_of_twice, name="f")
    second = in_process(local, crunching.twice, name="f", version=2)
    with pytest.raises(ValueError, match=r"twice in the module tests\.sdk\.crunching is not the"):
        first.run("a")
    assert second.run("b") == 2


async def test_an_async_client_has_it_too():
    async with AsyncResonate.local() as resonate:
        assert await in_process(resonate, crunching.where).run("id") != os.getpid()


def test_a_test_harness_runs_it_or_what_stands_for_it():
    with Harness() as harness:
        in_process(harness, crunching.where)
        harness.run("a", crunching.where)
        harness.stub("where", 5)
        assert harness.run("b", crunching.where) == 5


@pytest.mark.parametrize("what", ["run", "rpc", "sleep", "uuid", "time", "dependency"])
def test_its_context_says_that_it_has_no_operations(crunch, what):
    with pytest.raises(RuntimeError, match='with executor="process"'):
        crunch.run(f"ask.{what}", crunching.ask, what)


def test_what_it_logs_is_logged_here(crunch, caplog):
    with caplog.at_level(logging.INFO, "resonate.function"):
        crunch.run("speak", crunching.speak)
    found = [(each.name, each.getMessage()) for each in caplog.records]
    assert found == [("resonate.function", "from the context"), ("mine", "of its own")]
    assert (caplog.records[0].promise_id, caplog.records[0].attempt) == ("speak", 1)


# --- how it ends ----------------------------------------------------------------------------------


def test_what_it_raises_arrives_as_it_is_with_its_traceback(crunch):
    with pytest.raises(ValueError, match="text") as caught:
        crunch.run("fail", crunching.fail, "value")
    assert "in fail" in caught.value.__cause__.traceback
    assert "processes.py" not in caught.value.__cause__.traceback
    for how, name in (("odd", "OddError"), ("stubborn", "StubbornError"), ("exit", "SystemExit")):
        with pytest.raises(RemoteError) as caught:
            crunch.run(how, crunching.fail, how)
        assert caught.value.type == name
        assert "in fail" in caught.value.traceback


def test_its_exceptions_have_their_class_where_they_are_looked_at(crunch):
    caught = []

    @crunch.register(name="looks")
    def workflow(ctx):
        operation = ctx.run(crunching.fail, "odd").options(
            retry_policy=Constant(delay=0, max_retries=2),
            non_retryable_exceptions=(crunching.OddError,),
        )
        try:
            yield operation
        except RemoteError as error:
            caught.append(error.type)

    workflow.run("looks")
    assert caught == ["OddError"]
    with pytest.raises(ResonateStoreError, match="not found"):
        crunch.promises.get("looks.1.retry.1")


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("exit", 3, "with status 3"),
        ("SIGSEGV", -11, "of signal 11"),
        ("SIGKILL", -9, "of signal 9"),
    ],
)
def test_a_process_that_dies_rejects_and_the_next_function_runs(local, how, status, text):
    die, facts = in_process(local, crunching.die), in_process(local, crunching.facts)
    pids = {facts.run("before", YEAR)[0]}
    with pytest.raises(ProcessDiedError) as caught:
        die.run("id", how)
    assert str(caught.value) == f"the process that ran die died {text}"
    assert caught.value.status == status
    pids.add(facts.run("after", YEAR)[0])
    assert len(pids) == 2


def test_a_process_that_dies_is_tried_again_as_the_policy_says(local, tmp_path):
    policy = Constant(delay=0, max_retries=2)
    die_once = in_process(local, crunching.die_once, retry_policy=policy)
    assert die_once.run("id", str(tmp_path / "log")) == 2
    assert crunching.notes(tmp_path / "log") == ["1", "2"]


def test_a_process_that_died_idle_is_replaced_and_nobody_hears_of_it(local):
    facts = in_process(local, crunching.facts)
    pid = facts.run("a", YEAR)[0]
    os.kill(pid, signal.SIGKILL)
    assert facts.run("b", YEAR)[0] != pid


def test_what_it_has_forked_does_not_stand_for_it(local):
    with pytest.raises(ProcessDiedError, match="status 7"):
        in_process(local, crunching.fork_and_die).begin_run("id").result(2)


def test_what_cannot_cross_is_an_error_of_its_own(crunch):
    with pytest.raises(EncodingError, match="the result of give cannot go to another process"):
        crunch.run("give", crunching.give)

    @crunch.register(name="gives")
    def workflow(ctx):
        yield ctx.run(crunching.give, threading.Lock())

    with pytest.raises(EncodingError, match="the arguments of give cannot go"):
        workflow.run("gives")
    assert crunch.run("large", crunching.give, "x" * 1_000_000) == "x" * 1_000_000


def test_a_machine_without_processes_leaves_the_work_to_others(local, monkeypatch, caplog):
    fails = [1, 1]

    def popen(*args, **kwargs):
        if fails:
            fails.pop()
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return begin(*args, **kwargs)

    begin = subprocess.Popen
    monkeypatch.setattr("resonate.sdk.processes.subprocess.Popen", popen)
    assert in_process(local, crunching.give).run("id", 1) == 1
    given = [each for each in caplog.messages if "no process can be started" in each]
    assert len(given) == 2


# --- how many, and how long -----------------------------------------------------------------------


def test_there_are_as_many_processes_as_processors_or_slots(make):
    assert Processes(1000)._limit == _processors()
    resonate = make(Resonate.local(concurrency=1))
    slow = in_process(resonate, crunching.slow)
    handles = [slow.begin_run(str(number), 0.01) for number in range(3)]
    assert len({handle.result(10)[0] for handle in handles}) == 1


def test_more_functions_than_processes_wait_for_one(local):
    local._shared.client._host.processes._limit = 2
    slow = in_process(local, crunching.slow)
    handles = [slow.begin_run(str(number), 0.05) for number in range(6)]
    found = [handle.result(10) for handle in handles]
    assert len({each[0] for each in found}) <= 2
    for _, start, _end in found:
        assert sum(1 for _, other, end in found if other <= start < end) <= 2


def test_stop_ends_the_processes(make):
    resonate = make(Resonate.local())
    facts = in_process(resonate, crunching.facts)
    pid = facts.run("id", YEAR)[0]
    assert alive(pid)
    resonate.stop()
    assert not alive(pid)


def test_stop_kills_what_does_not_finish_in_time(make, tmp_path):
    resonate = make(Resonate.local())
    in_process(resonate, crunching.stay).begin_run("id", str(tmp_path / "log"))
    (pid,) = until(lambda: crunching.notes(tmp_path / "log"))
    resonate.stop(0)
    until(lambda: not alive(pid))


# --- nobody needs the result ----------------------------------------------------------------------


def test_a_canceled_call_kills_its_process_and_no_other(make, tmp_path):
    resonate = make(Resonate.local(ttl=1))
    resonate._shared.client._host.processes._limit = 2
    stay, slow = in_process(resonate, crunching.stay), in_process(resonate, crunching.slow)
    handle = stay.begin_run("id", str(tmp_path / "log"))
    (pid,) = until(lambda: crunching.notes(tmp_path / "log"))
    other = slow.begin_run("other", 1.0)
    assert handle.cancel()
    with pytest.raises(ResonateCanceledError):
        handle.result(5)
    until(lambda: not alive(pid))
    assert other.result(5)[0] != int(pid)
    assert slow.run("after", 0)


def test_a_lost_call_that_waits_for_a_process_never_runs(make, tmp_path):
    resonate = make(Resonate.local(ttl=1))
    processes = resonate._shared.client._host.processes
    processes._limit = 1
    stay = in_process(resonate, crunching.stay)
    first = stay.begin_run("a", str(tmp_path / "a"))
    until(lambda: crunching.notes(tmp_path / "a"))
    stay.begin_run("b", str(tmp_path / "b")).cancel()
    until(lambda: not any(each.id == "b" for each in held(resonate)))
    first.cancel()
    until(lambda: not processes._busy)
    assert not crunching.notes(tmp_path / "b")
    assert in_process(resonate, crunching.give).run("c", 3) == 3


def held(resonate):
    return list(resonate._shared.client._worker._held.values())


PROGRAM = """
import sys, threading
from resonate import Resonate
from tests.sdk import crunching

url, group, executor = sys.argv[1:]
resonate = Resonate.remote(url, group=group, ttl=1)
for func in (crunching.hold, crunching.stay):
    resonate.register(func, executor=executor or None)
resonate.start()
print("started", flush=True)
threading.Event().wait()
"""


def program(children, url, group, executor):
    child = children.spawn("worker", "-c", PROGRAM, url, group, executor, PYTHONPATH=str(ROOT))
    child.wait_for("started")
    return child


@pytest.mark.parametrize("what", ["stay", "hold"])
def test_processes_end_with_a_worker_that_is_killed(
    server, remote, children, group, tmp_path, what
):
    worker = program(children, server.url, group, "process")
    log = str(tmp_path / "log")
    arguments = [log] if what == "stay" else [log, 60]
    remote(ttl=1).begin_rpc(group, what, *arguments)
    (pid,) = until(lambda: crunching.notes(log))
    assert alive(pid)
    worker.send(signal.SIGKILL)
    until(lambda: not alive(pid), 2)
    remote().get(group).cancel()


def test_an_interrupt_of_the_terminal_is_not_for_the_processes(local, tmp_path):
    handle = in_process(local, crunching.slow).begin_run("id", 0.5)
    run = until(lambda: next(iter(local._shared.client._host.processes._busy), None))
    child = until(lambda: run._child)
    until(lambda: "SigCgt" in Path(f"/proc/{child.process.pid}/status").read_text())
    until(lambda: catches(child.process.pid, signal.SIGTERM))
    for number in (signal.SIGINT, signal.SIGTERM):
        child.process.send_signal(number)
    assert handle.result(5)[0] == child.process.pid


def catches(pid, number):
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [each for each in status.splitlines() if each.startswith("SigCgt")]
    return int(line.split()[1], 16) >> (number - 1) & 1


# --- the GIL --------------------------------------------------------------------------------------


def test_a_function_that_holds_the_gil_in_a_process_keeps_its_lease(remote, group, tmp_path):
    workers = [remote(ttl=1) for _ in range(2)]
    for worker in workers:
        in_process(worker, crunching.hold)
        worker.start()
    log = str(tmp_path / "log")
    before = time.monotonic()
    assert workers[0].rpc(group, "hold", log, 2.0) == "held"
    assert time.monotonic() - before >= 2.0
    assert len(crunching.notes(log)) == 1


def test_a_function_that_holds_the_gil_here_loses_its_lease_and_another_worker_has_it(
    server, remote, children, group, tmp_path
):
    log = str(tmp_path / "log")
    first = program(children, server.url, group, "")
    caller = remote(group=group + "c").options(target=group)
    handle = caller.begin_rpc(group, "hold", log, 3)
    until(lambda: crunching.notes(log))
    second = remote(ttl=1)

    @second.register
    def hold(ctx, path, seconds):
        crunching.note(path, "other")
        return "of the other"

    second.start()
    assert handle.result(6) == "of the other"
    first.wait_for("the lease of .* was lost|its lease was lost", 6)
    assert crunching.notes(log) == [str(first.process.pid), "other"]
    assert handle.result() == "of the other"
