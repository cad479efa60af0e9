"""Many workflows while workers and the server are killed, again and again."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections import Counter

import pytest

from resonate import Resonate
from resonate.errors import ResonateShutdownError, ResonateStoreError
from tests.processes.children import HERE, until
from tests.processes.flavours import EFFECTS, EXPECTED, FLAVOURS

ROUNDS = 12
WORKFLOWS = 8  # of each flavour


@contextlib.contextmanager
def caller_and_people(url):
    """Give a client that calls, while people answer the workflows that wait for them."""
    ended = threading.Event()
    client = Resonate.remote(url, group="callers", patience=60)
    people = threading.Thread(target=answer, args=(client, ended))
    people.start()
    try:
        yield client
    finally:
        ended.set()
        client.stop(0)
        people.join(10)


def answer(client, ended):
    while not ended.wait(0.2):
        try:
            for each in client.promises.search_all(state="pending", limit=1000):
                if each.id.endswith("-human"):
                    client.promises.resolve(each.id, data='"yes"')
        except (ResonateStoreError, ResonateShutdownError):
            continue  # the server is being killed, or the test has ended


def begin(client, group, workflows):
    """Begin so many workflows of each flavour; return their handles by id."""
    caller = client.options(target=group)
    ids = [(flavour, f"{flavour}-{each}") for flavour in FLAVOURS for each in range(workflows)]
    return {id: caller.begin_rpc(id, flavour) for flavour, id in ids}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workflows_survive_the_deaths_of_workers_and_servers(children, tmp_path, capsys):
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    server = children.server("--grace-ms", "200")
    group, folder = "flavours", tmp_path

    def worker():
        return children.spawn("worker", HERE / "flavours.py", server.url, folder, group, 10**9)

    workers = [worker() for _ in range(3)]
    with caller_and_people(server.url) as client:
        handles = begin(client, group, WORKFLOWS)
        killed = Counter()
        for _ in range(ROUNDS):
            threading.Event().wait(chance.uniform(0.1, 0.8))
            if chance.random() < 0.3:
                server.kill()
                server.start()
                killed["server"] += 1
            else:
                victim = workers.pop(chance.randrange(len(workers)))
                victim.send(signal.SIGKILL)
                workers.append(worker())
                killed["worker"] += 1
        for id, handle in handles.items():
            *_, drawn, mailed = result = handle.result(60)
            assert [*result[:7], mailed] == EXPECTED, (seed, id, result)
            assert 1 <= drawn <= 6
            effects = Counter((folder / id).read_text().splitlines())
            assert set(effects) == EFFECTS
            assert max(effects.values()) <= 1 + sum(killed.values())
        until(lambda: not list(client.promises.search_all(state="pending")), 20)
    with capsys.disabled():
        print(f"\n{len(handles)} workflows, killed: {dict(killed)}, seed {seed}")


@pytest.mark.timeout(120)
def test_a_rolling_deploy_loses_nothing_and_starts_nothing_twice(children, tmp_path):
    server = children.server()
    group = "flavours"

    def worker():
        found = children.spawn("w", HERE / "flavours.py", server.url, tmp_path, group, 10**9)
        found.wait_for("ready", 30)
        return found

    workers = [worker() for _ in range(2)]
    with caller_and_people(server.url) as client:
        handles = begin(client, group, 2)
        for old in workers:
            worker()
            old.send(signal.SIGTERM)
            assert old.wait(30) == 0
        for id, handle in handles.items():
            *_, drawn, mailed = result = handle.result(30)
            assert [*result[:7], mailed] == EXPECTED
            assert 1 <= drawn <= 6
            assert Counter((tmp_path / id).read_text().splitlines()) == Counter(EFFECTS)
