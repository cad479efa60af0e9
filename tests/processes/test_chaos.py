"""Many workflows while workers and the server are killed, again and again."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter

import pytest

from resonate import Resonate
from resonate.errors import ResonateStoreError
from tests.processes.children import HERE, until
from tests.processes.flavours import EFFECTS, EXPECTED, FLAVOURS

ROUNDS = 12
WORKFLOWS = 8  # of each flavour


class People:
    """Whoever answers the workflows that wait for a person."""

    def __init__(self, url):
        self._caller = Resonate.remote(url, group="people", patience=60)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self):
        while not self._ended.wait(0.2):
            try:
                for each in self._caller.promises.search_all(state="pending", limit=1000):
                    if each.id.endswith("-human"):
                        self._caller.promises.resolve(each.id, data='"yes"')
            except ResonateStoreError:
                continue  # the server is being killed

    def end(self):
        self._ended.set()
        self._thread.join(10)
        self._caller.stop(0)


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
    people = People(server.url)
    client = Resonate.remote(server.url, group="callers", patience=60)
    caller = client.options(target=group)
    handles = {
        f"{flavour}-{number}": caller.begin_rpc(f"{flavour}-{number}", flavour)
        for flavour in FLAVOURS
        for number in range(WORKFLOWS)
    }
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
    people.end()
    until(lambda: not list(client.promises.search_all(state="pending")), 20)
    client.stop(0)
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
    people = People(server.url)
    client = Resonate.remote(server.url, group="callers")
    caller = client.options(target=group)
    handles = {
        f"{flavour}-{number}": caller.begin_rpc(f"{flavour}-{number}", flavour)
        for flavour in FLAVOURS
        for number in range(2)
    }
    for old in workers:
        worker()
        old.send(signal.SIGTERM)
        assert old.wait(10) == 0
    for id, handle in handles.items():
        *_, drawn, mailed = result = handle.result(30)
        assert [*result[:7], mailed] == EXPECTED
        assert 1 <= drawn <= 6
        assert Counter((tmp_path / id).read_text().splitlines()) == Counter(EFFECTS)
    people.end()
    client.stop(0)
