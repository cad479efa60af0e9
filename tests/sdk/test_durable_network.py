"""Durable functions over a network that loses requests, answers and messages."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from tests.processes.children import until
from tests.processes.flavours import EXPECTED, FLAVOURS, square
from tests.sdk.proxy import GARBAGE, LOSE_ANSWER, LOSE_REQUEST


@pytest.fixture
def run(remote, group, tmp_path):
    """Return a function that runs the workflow of a flavour on workers at these urls."""

    def start(flavour, *urls, **arguments):
        workers = [remote(url, dependencies={"folder": str(tmp_path)}, **arguments) for url in urls]
        for each in workers:
            for func in (*FLAVOURS.values(), square):
                each.register(func)
            each.start()
        caller = remote(group=group + "c")
        handle = caller.options(target=group).begin_rpc(group, flavour)
        human = f"{group}-human"
        until(lambda: list(caller.promises.search_all(id_prefix=human)), 30)
        caller.promises.resolve(human, data='"yes"')
        *_, drawn, mailed = result = handle.result(30)
        assert [*result[:7], mailed] == EXPECTED
        assert 1 <= drawn <= 6
        return Counter((tmp_path / group).read_text().splitlines())

    return start


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_requests_and_answers_get_lost(run, proxy, flavour):
    chance = random.Random(flavour)

    def rule(envelopes):
        draw = chance.random()
        if draw < 0.12:
            return LOSE_ANSWER
        if draw < 0.24:
            return LOSE_REQUEST
        if draw < 0.27:
            return GARBAGE
        return (503, "busy") if draw < 0.3 else None

    proxy.rule = rule
    effects = run(flavour, proxy.url)
    assert set(effects.values()) == {1}, "with the lease kept nothing runs twice"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_streams_break(run, proxy, flavour):
    """For some seconds: a stream that is always cut may never bring anything."""
    over = threading.Event()

    def cut():
        until = time.monotonic() + 6
        while time.monotonic() < until and not over.wait(0.15):
            proxy.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        run(flavour, proxy.url, ttl=2)
    finally:
        over.set()
        cutter.join()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_without_our_extensions_is_enough(run, plain, flavour):
    run(flavour, plain.url)
    assert plain.kinds["task.suspend"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_a_preload_leaves_out_is_asked_for(run, proxy, flavour):
    def spoil(envelopes, answers):
        for each in answers:
            if isinstance(each["data"], dict) and "preload" in each["data"]:
                each["data"]["preload"] = []

    proxy.spoil = spoil
    run(flavour, proxy.url)
    assert proxy.kinds["promise.get"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_two_workers_share_the_work(run, proxy, server, flavour):
    run(flavour, proxy.url, server.url)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_fan_out_is_batched(run, proxy, flavour):
    run(flavour, proxy.url)
    fences = [post for post in proxy.posts if any(e["kind"] == "task.fence" for e in post)]
    assert proxy.kinds["task.fence"] == 50 + 2 * 6 + 4
    assert len(fences) < 40, "never a round trip for each"
