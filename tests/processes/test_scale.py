"""Many children, many suspended workflows: what they cost."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from tests.processes.children import HERE, until
from tests.processes.flavours import FANS, WAITS

CHILDREN = 1_000
SUSPENDED = 10_000
MEMORY_MIB_MAX = 200


def start(children, tmp_path, group, workers):
    """Start a server that traces its requests, and workers."""
    server = children.server("--trace", str(tmp_path / "trace.jsonl"))
    started = [
        children.spawn("worker", HERE / "flavours.py", server.url, tmp_path, group, 10**9)
        for _ in range(workers)
    ]
    for each in started:
        each.wait_for("ready", 30)
    return server, tmp_path / "trace.jsonl"


def kinds(trace, after=0):
    lines = trace.read_text().splitlines()
    return Counter(msgspec.json.decode(line)["kind"] for line in lines[after:]), len(lines)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_fan_out_of_a_thousand_is_quick_and_frugal(children, tmp_path, connect, capsys):
    server, trace = start(children, tmp_path, "fan", 2)
    caller = connect(server.url).options(target="fan")
    expected = sum(each * each for each in range(CHILDREN))
    told = []
    for fan in FANS:
        _, before = kinds(trace)
        began = time.monotonic()
        assert caller.begin_rpc(fan.__name__, fan.__name__, CHILDREN).result(60) == expected
        seconds = time.monotonic() - began
        found, _ = kinds(trace, before)
        each = sum(found.values()) / CHILDREN
        told.append(f"{fan.__name__}: {seconds:.2f} s, {each:.2f} requests a child")
        assert each <= 4, found
    with capsys.disabled():
        print("", *told, sep="\n")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("wait", WAITS)
def test_suspended_workflows_take_no_slot_and_little_memory(
    children, tmp_path, connect, capsys, wait
):
    server = children.server()
    worker = children.spawn("worker", HERE / "flavours.py", server.url, tmp_path, "wait", 10**9)
    worker.wait_for("ready", 30)
    caller = connect(server.url).options(target="wait")
    before, *_ = caller.begin_rpc("before", "census").result(30)
    name = wait.__name__
    handles = [caller.begin_rpc(f"w{number}", name) for number in range(SUSPENDED)]

    def all_suspended():
        numbers[0] += 1
        found = caller.begin_rpc(f"census{numbers[0]}", "census").result(30)
        return found if found[2] == SUSPENDED else None

    numbers = [0]
    memory, slots, _, threads = until(all_suspended, 120, 0.2)
    with capsys.disabled():
        print(f"\n{name}: {SUSPENDED} take {memory - before:.0f} MiB, {threads} threads")
    assert slots == 0
    assert memory - before < MEMORY_MIB_MAX
    assert threads < 200
    for number in range(0, SUSPENDED, 100):
        caller.promises.resolve(f"w{number}.1", data=str(number))
    results = [handles[number].result(60) for number in range(0, SUSPENDED, 100)]
    assert all(after - first == 100 for first, after in pairwise(results))
