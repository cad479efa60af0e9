"""Programs of the official SDKs, as their users write them, run against our server.

Each exists once for both Python SDKs and once for TypeScript, and all give the same result.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import signal
from collections import Counter

import pytest

from tests.clients.clients import result
from tests.processes.children import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]  # the first use installs

# The separators in the ids that an SDK makes up.
CHILD = {"python-0.8.1": ":1", "python-0.7.4": ".1", "typescript-0.11.5": ":0"}


def ask(url, kind, **data):
    """Send one request by hand; return its status and data."""
    head = {"corrId": "by-hand", "version": "2026-04-01"}
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("POST", "/", json.dumps({"kind": kind, "head": head, "data": data}))
        answer = json.load(connection.getresponse())
    finally:
        connection.close()
    return answer["head"]["status"], answer["data"]


def test_hello_world(client):
    assert client.run("hello") == ["hello, world!", "hello, world!"]


def test_hello_world_in_the_other_programming_model_of_typescript(client_of):
    assert client_of("typescript-0.11.5").run("asynchronous") == "hello, world!"


def test_nested_steps_in_two_groups_that_call_each_other(client):
    client.start("groups", "back")
    assert client.run("groups", "front") == "made one CHAIR, signed"


def test_recursion_by_rpc_over_two_workers(client):
    workers = [client.start("fibonacci", "worker") for _ in range(2)]
    for worker in workers:
        worker.wait_for("established|adapter connected")
    assert client.run("fibonacci", "call", 8) == 21
    leaves = [re.findall(r"leaf (\S+)", worker.text) for worker in workers]
    assert all(leaves)
    ids = list(itertools.chain(*leaves))
    assert len(ids) == len(set(ids)) == 34


@pytest.mark.parametrize(
    ("card", "outcome"),
    [
        ("GOOD", {"booked": ["flight-1", "hotel-1"]}),
        ("BAD", {"failed": "card refused", "undone": ["no hotel-1", "no flight-1"]}),
    ],
)
def test_a_saga_undoes_what_was_done(client, card, outcome):
    assert client.run("saga", card) == outcome


def test_a_human_answers_through_the_client_of_promises(client):
    asking = client.start("human", "ask")
    first = asking.wait_for(r"(?m)^asks (\S+)", 20)
    assert client.run("human", "answer", first[1], "YES") == "resolved"
    second = asking.wait_for(r"(?m)^then asks (\S+)", 20)
    assert client.run("human", "answer", second[1], "NO") == "rejected"
    assert result(asking) == [{"said": "YES"}, "refused: too dear"]


def test_a_sleep_outlives_the_worker_that_began_it(client, server):
    caller = client.start("nap", "call")
    worker = client.start("nap", "worker")

    def suspended():
        status, data = ask(server.url, "task.get", id="nap-1")
        return status == 200 and data["task"]["state"] == "suspended"

    until(suspended, 20)
    worker.send(signal.SIGKILL)
    client.start("nap", "worker")
    assert result(caller) == "slept"
    whole = ask(server.url, "promise.get", id="nap-1")[1]["promise"]
    timer = ask(server.url, "promise.get", id=f"nap-1{CHILD[client.name]}")[1]["promise"]
    assert (timer["state"], timer["settledAt"]) == ("resolved", timer["timeoutAt"])
    assert 1000 <= timer["settledAt"] - timer["createdAt"] <= 2000
    assert whole["settledAt"] - timer["settledAt"] < 3000


def test_a_timer_is_not_given_to_a_worker(client, server):
    """Both newer SDKs give it a target, and with that a task, which nobody can do."""
    client.start("nap", "worker")
    assert client.run("nap", "call") == "slept"
    status, found = ask(server.url, "task.get", id=f"nap-1{CHILD[client.name]}")
    if client.name == "python-0.7.4":  # gives it none
        assert status == 404
    else:
        assert (found["task"]["state"], found["task"]["version"]) == ("fulfilled", 0)


def test_a_detached_call_goes_on_after_its_parent(client):
    id, done_before, value = client.run("detached")
    assert re.fullmatch(r"order-1[:.]d[0-9a-f]+", id)
    assert (done_before, value) == (False, "audited order")


def test_two_versions_of_a_function(client):
    assert client.run("versions") == [100, 103, 100, 103]


def test_retries(client):
    assert client.run("retries") == ["run: 3", "rpc: 3", "step: 3", "never: attempt 1"]


def test_a_schedule_fires_until_it_is_deleted(client):
    found = client.run("schedules")
    assert (found["cron"], found["values"]) == ("* * * * * *", ["tick 1", "tick 2"])
    ids = [re.fullmatch(r"every-second[-.](\d+)000", id) for id in found["ids"]]
    seconds = [int(id[1]) for id in ids]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert seconds[-1] * 1000 <= found["deleted_ms"]
    assert found["gone"] == 404


@pytest.mark.parametrize("name", ["python-0.8.1", "python-0.7.4"])  # TypeScript has no searches
def test_searches(client_of, name):
    found = client_of(name).run("search")
    separator = CHILD[name][0]
    assert found == {
        "tree": [["order-1", f"order-1{separator}1"], [f"order-1{separator}2"]],
        "pending": ["free-1"],
        "schedules": ["two"],
    }


# Where a worker is killed, in the order in which the workflow of recovery.py comes there.
DEATHS = ["in order", "in reserve", "after reserve", "in fill", "after fill", "after pack"]
DEATHS += ["in load", "after ship", "after sleep", "in notify", "after notify"]
STEPS = ["reserve", "fill", "load", "notify"]
DONE = ["reserve", "packed fill", "load", "notify"]


def test_a_second_worker_finishes_what_was_killed_at_each_step(client, tmp_path):
    """Executed twice is only the step that was killed; what was done before is not done again."""
    orders = {death: (f"orders-{n}", tmp_path / f"steps-{n}") for n, death in enumerate(DEATHS)}
    caller = client.start("recovery", "call", *(group for group, _ in orders.values()))
    victims = {death: client.start("recovery", "worker", *orders[death], death) for death in DEATHS}
    for death, victim in victims.items():
        assert (death, victim.wait(30)) == (death, -signal.SIGKILL)
        client.start("recovery", "worker", *orders[death])
    assert result(caller) == [DONE] * len(DEATHS)
    executed = {death: Counter(log.read_text().split()) for death, (_, log) in orders.items()}
    expected = {death: Counter([*STEPS, *killed_in(death)]) for death in DEATHS}
    assert executed == expected


# The local steps until "after pack" that are of the branch of the workflow itself. To the Python SDKs
# the step inside of ``pack`` is of the branch of ``pack``.
LOCAL_STEPS = {
    "python-0.8.1": [":1", ":2"],
    "python-0.7.4": [".1", ".2"],
    "typescript-0.11.5": [":0", ":1", ":1.0"],
}


def killed_in(death):
    return [step for step in STEPS if death == f"in {step}"]


def test_who_takes_a_workflow_over_gets_its_finished_steps_with_it(client, server, tmp_path):
    order = ("orders", tmp_path / "steps")
    caller = client.start("recovery", "call", "orders")
    victim = client.start("recovery", "worker", *order, "after pack")
    assert victim.wait(20) == -signal.SIGKILL
    id = "order-orders"
    version = ask(server.url, "task.get", id=id)[1]["task"]["version"]
    assert ask(server.url, "task.release", id=id, version=version)[0] == 200
    status, taken = ask(server.url, "task.acquire", id=id, version=version, pid="test", ttl=60_000)
    assert status == 200
    assert ask(server.url, "task.release", id=id, version=version + 1)[0] == 200
    client.start("recovery", "worker", *order)
    assert result(caller) == [DONE]
    finished = {each["id"]: each["state"] for each in taken["preload"]}
    assert finished == {f"{id}{step}": "resolved" for step in LOCAL_STEPS[client.name]}
