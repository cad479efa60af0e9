"""Whole programs: how they begin, end, are interrupted, and what they leave on stderr."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time

import pytest


@pytest.fixture
def program(children, server, group):
    """Return a runner of a program whose ``resonate`` is a client in the group of the test."""

    def run(text, url=None):
        path = children.folder / f"program-{len(children.all)}.py"
        start = f"from resonate import Resonate\nresonate = Resonate.remote({url or server.url!r}, group={group!r})\n"
        path.write_text(start + textwrap.dedent(text))
        return children.spawn("program", path)

    return run


WORKER = """
    import time, sys
    @resonate.register
    def work(ctx, seconds=0):
        print("started", ctx.id, flush=True)
        time.sleep(seconds)
        print("ended", ctx.id, flush=True)
        return ctx.id
"""


def test_a_program_that_only_calls_ends_at_once_and_says_nothing(program, remote, group):
    child = program(f"resonate.begin_rpc({group!r}, 'f', 1)")
    before = time.monotonic()
    assert child.wait(15) == 0
    assert time.monotonic() - before < 8
    assert child.lines == []
    resonate = remote()
    resonate.register(lambda ctx, number: number, name="f")
    resonate.start()
    assert resonate.get(group).result(5) == 1


def test_a_program_that_drops_its_clients_says_nothing(program, server):
    child = program(
        f"""
        for number in range(3):
            resonate = Resonate.remote({server.url!r})
            resonate.promises.create(f"{{resonate.pid}}-{{number}}", 2**50)
        """
    )
    assert child.wait(15) == 0
    assert child.lines == []


def test_a_program_ends_by_itself_whatever_it_did(program):
    before = time.monotonic()
    children = [
        program(text)
        for text in (
            "",
            "resonate.options(target='nobody').begin_rpc(resonate.pid, 'f').done()",
            "resonate.register(lambda ctx: 1, name='f'); resonate.run(resonate.pid, 'f')",
            "resonate.start()",
            "resonate.start(); resonate.stop()",
            "resonate.stop()",
            "import os; os._exit(0) if os.fork() == 0 else os.wait()",
        )
    ]
    assert [child.wait(15) for child in children] == [0] * 7
    assert time.monotonic() - before < 12
    assert [child.lines for child in children] == [[]] * 7


def test_a_program_that_ends_gives_its_work_to_others_at_once(program, remote, group):
    child = program(
        WORKER
        + f"    resonate.begin_run({group!r}, 'work', 1000)\n    sys.stdin.read()\n    time.sleep(0.3)\n"
    )
    other = remote()
    other.register(lambda ctx, seconds: "other", name="work")
    child.wait_for("started")
    other.start()
    assert child.wait(15) == 0
    assert other.get(group).result(4) == "other"


def test_ctrl_c_ends_a_worker_whose_function_blocks(program, remote, group):
    child = program(
        WORKER + "    import threading\n    resonate.start()\n    threading.Event().wait()\n"
    )
    other = remote()
    handle = other.begin_rpc(group, "work", 1000)
    child.wait_for("started")
    other.register(lambda ctx, seconds: "other", name="work")
    other.start()
    sent = child.send(signal.SIGINT)
    assert child.wait(15) == -signal.SIGINT
    assert time.monotonic() - sent < 4
    assert "KeyboardInterrupt" in child.lines
    assert handle.result(4) == "other"


def test_ctrl_c_ends_who_waits_for_a_result(program, group):
    child = program(f"print('waiting', flush=True)\nresonate.rpc({group!r}, 'nobody')")
    child.wait_for("waiting")
    time.sleep(0.2)
    sent = child.send(signal.SIGINT)
    assert child.wait(15) == -signal.SIGINT
    assert time.monotonic() - sent < 4
    assert "KeyboardInterrupt" in child.lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_until_signal_lets_functions_end_and_exits_cleanly(program, remote, group, number):
    child = program(WORKER + "    resonate.run_until_signal()\n    print('over')\n")
    caller = remote()
    handle = caller.begin_rpc(group, "work", 0.5)
    child.wait_for("started")
    child.send(number)
    assert child.wait(15) == 0
    assert child.lines == [f"started {group}", f"ended {group}", "over"]
    assert handle.result(1) == group


def test_run_until_signal_hands_over_what_does_not_end_in_time(program, remote, group):
    child = program(WORKER + "    resonate.run_until_signal(timeout=0.2)\n    print('over')\n")
    other = remote()
    handle = other.begin_rpc(group, "work", 1000)
    child.wait_for("started")
    other.register(lambda ctx, seconds: "other", name="work")
    other.start()
    child.send(signal.SIGTERM)
    assert child.wait(15) == 0
    assert "over" in child.lines
    assert handle.result(4) == "other"


FORKS = """
    import os, signal, time
    {made}
    def forked(seconds):
        child = os.fork()
        if child == 0:
            time.sleep(seconds)
            os._exit(7)
        return child
    @resonate.register
    def ends_its_child(ctx):
        child = forked(30)
        os.kill(child, signal.SIGTERM)
        return os.WTERMSIG(os.waitpid(child, 0)[1])
    @resonate.register
    def leaves_a_child(ctx):
        return forked(30)
    {run}
    print("over")
"""
RUNS = {
    "blocking": ("", "resonate.run_until_signal(timeout=20)"),
    "async": (
        (
            "import asyncio; from resonate import AsyncResonate;"
            " resonate = AsyncResonate.remote({url!r}, group={group!r})"
        ),
        "asyncio.run(resonate.run_until_signal(timeout=20))",
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_signals_to_children_that_functions_fork_are_theirs_alone(
    program, remote, server, group, kind
):
    made, run = (each.format(url=server.url, group=group) for each in RUNS[kind])
    worker = program(FORKS.format(made=made, run=run))
    caller = remote()
    assert caller.rpc(f"{group}-1", "ends_its_child") == signal.SIGTERM
    left = caller.rpc(f"{group}-2", "leaves_a_child")
    assert caller.rpc(f"{group}-3", "ends_its_child") == signal.SIGTERM  # it works on
    sent = worker.send(signal.SIGTERM)
    try:
        worker.process.wait(15)
        assert time.monotonic() - sent < 10, "it waits for no child"
    finally:
        os.kill(left, signal.SIGKILL)
    assert worker.wait() == 0
    assert worker.lines[-1] == "over"


ASYNC_WORKER = """
    import asyncio, time
    from resonate import AsyncResonate
    resonate = AsyncResonate.remote({url!r}, group={group!r})
    @resonate.register
    {kind} work(ctx, seconds=0):
        print("started", ctx.id, flush=True)
        time.sleep(seconds)
    asyncio.run(resonate.run_until_signal({timeout}))
    print("over")
"""


@pytest.mark.parametrize(
    ("kind", "signals", "timeout"),
    [
        ("blocking", ("SIGINT", "SIGINT"), "timeout=30"),
        ("blocking", ("SIGTERM", "SIGINT"), "float('inf')"),
        ("def", ("SIGTERM", "SIGTERM"), "timeout=30"),
        ("async def", ("SIGINT", "SIGINT"), "float('inf')"),
    ],
)
def test_a_second_signal_hands_over_at_once_and_exits_cleanly(
    program, remote, server, group, kind, signals, timeout
):
    if kind == "blocking":
        text = WORKER + f"    resonate.run_until_signal({timeout})\n    print('over')\n"
    else:
        text = ASYNC_WORKER.format(url=server.url, group=group, kind=kind, timeout=timeout)
    child = program(text)
    other = remote()
    # a loop that is busy knows of no signal: it is handed over all the same
    handle = other.begin_rpc(group, "work", 5 if kind == "async def" else 1000)
    child.wait_for("started")
    other.register(lambda ctx, seconds: "other", name="work")
    other.start()
    first, second = (getattr(signal, name) for name in signals)
    child.send(first)
    time.sleep(0.3)
    assert child.running
    assert not handle.done()
    before = time.monotonic()
    child.send(second)
    assert handle.result(4) == "other"
    assert child.wait(15) == 0
    assert time.monotonic() - before < 10
    assert child.lines == [
        f"started {group}",
        "releasing 1 executions that did not finish in time",
        "over",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_a_forked_process_is_a_client_of_its_own(program, group, how):
    text = f"""
        import os, sys, multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: it warns of what we test
        def child():
            assert resonate.pid != pid, "another process is another pid"
            print(resonate.begin_rpc({group!r} + "c", "f").done(), flush=True)
        pid = resonate.pid
        resonate.begin_rpc({group!r}, "f").done()
        if {how!r} == "os.fork":
            if os.fork() == 0:
                child()
                sys.exit()
            os.wait()
        else:
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
        print(resonate.get({group!r} + "c").done())
        assert resonate.pid == pid
    """
    child = program(text)
    assert child.wait(10) == 0
    assert child.lines == ["False", "False"]


def test_a_worker_serves_on_when_functions_do_their_worst(program, remote, group):
    child = program("""
        import asyncio, sys, threading
        @resonate.register
        def worst(ctx, kind):
            if kind == "exit": sys.exit(1)
            if kind == "interrupt": raise KeyboardInterrupt
            if kind == "thread": threading.Thread(target=lambda: 1 / 0).start()
            if kind == "recursion": return worst(ctx, kind)
            if kind == "callback": asyncio.get_running_loop().call_soon(sys.exit)
            if kind == "task": asyncio.create_task(exit_later())
            return kind
        async def exit_later(): sys.exit(1)
        @resonate.register
        async def worst_async(ctx, kind):
            return worst.func(ctx, kind)
        resonate.run_until_signal()
    """)
    caller = remote()
    kinds = ["exit", "interrupt", "recursion", "thread", "callback", "task"]
    for number, kind in enumerate(kinds[:4] + kinds * 2):
        handle = caller.begin_rpc(
            f"{group}{number}", "worst" if number < 4 else "worst_async", kind
        )
        if kind in kinds[:3]:
            with pytest.raises(Exception, match=r"SystemExit|KeyboardInterrupt|recursion"):
                handle.result(5)
        else:
            assert handle.result(5) == kind
    child.send(signal.SIGTERM)
    assert child.wait(15) == 0


def test_nothing_is_said_at_the_end_of_a_program_with_running_functions(program):
    child = program("""
        import asyncio, time
        started = []
        @resonate.register
        async def forever(ctx):
            started.append(ctx.id)
            await asyncio.sleep(1000)
        @resonate.register
        def block(ctx):
            started.append(ctx.id)
            time.sleep(1000)
        for number in range(3):
            forever.begin_run(f"{resonate.group}a{number}")
            block.begin_run(f"{resonate.group}b{number}")
        while len(started) < 6:
            time.sleep(0.01)
    """)
    assert child.wait(10) == 0
    assert child.lines == ["releasing 6 executions that did not finish in time"]
