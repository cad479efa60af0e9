"""The model against the checklist C1 to C12 of section 9.1."""

from __future__ import annotations

import pytest

from tests.model.client import EXTERNAL, FAR, TARGET, TIMER, Client, envelope
from tests.model.model import Model


@pytest.mark.parametrize(
    ("strict", "armed"), [(False, ["p", "s", "t", "x"]), (True, ["s", "t", "x"])]
)
def test_c1_which_promises_have_an_armed_timer(strict, armed):
    client = Client(strict=strict)
    for each, tags in {"p": {}, "x": EXTERNAL, "s": TIMER, "t": TARGET}.items():
        client.create(each, tags, timeout_at=50)
    assert client.snap()["promiseTimeouts"] == [{"id": each, "timeout": 50} for each in armed]
    client.tick(50)
    stored = {each["id"]: each["state"] for each in client.snap()["promises"]}
    assert stored["s"] == "resolved"
    assert stored["x"] == stored["t"] == "rejected_timedout"
    assert stored["p"] == ("pending" if strict else "rejected_timedout")
    assert client.promise("p")["state"] == "rejected_timedout"


@pytest.mark.parametrize("tags", [{}, EXTERNAL, TIMER, TARGET])
def test_c1_a_suspended_task_wakes_at_the_deadline_of_what_it_awaits(tags):
    client = Client()
    client.task_create("t")
    client.create("a", tags, timeout_at=50)
    client.suspend("t", 1, "a")
    client.tick(50)
    assert client.task("t") == {"id": "t", "state": "pending", "version": 1, "resumes": 1}


def test_c2_and_c3_obligations_of_internal_promises_are_discharged():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.ask("promise.register_callback", awaited="a", awaiter="t")
    client.ask("promise.register_listener", awaited="a", address="http://h")
    assert client.snap()["callbacks"] == [{"awaiter": "t", "awaited": "a"}]
    assert client.snap()["listeners"] == [{"id": "a", "address": "http://h"}]
    client.settle("a")
    assert client.snap()["callbacks"] == client.snap()["listeners"] == []
    assert client.task("t")["resumes"] == 1
    assert client.unblocks() == [("http://h", "a", "resolved")]


def test_c4_create_halt_and_continue_look_at_the_projection():
    client = Client()
    client.create("t", TARGET, timeout_at=50)
    client.create("h", TARGET, timeout_at=50)
    client.ask("task.halt", id="h")
    client.now = 50
    status, data = client.task_create("t")
    assert (status, data["task"]["state"], data["preload"]) == (200, "fulfilled", [])
    assert client.ask("task.halt", id="t") == (409, "Task is fulfilled")
    assert client.ask("task.continue", id="h") == (409, "Task is not halted")
    assert client.snap()["promises"][0]["state"] == "pending", "no step has run"


def test_c5_a_lease_that_ends_with_its_promise_is_not_dispatched():
    client = Client()
    client.task_create("t", timeout_at=50, ttl=50)
    client.create("u", {**TARGET, "resonate:delay": "49"}, timeout_at=50)
    client.tick(50)
    assert client.executes() == []
    assert client.state("t") == client.state("u") == "fulfilled"


def test_c5_a_queued_execute_goes_when_its_promise_dies():
    client = Client()
    client.create("t", TARGET, timeout_at=50)
    assert client.executes() == [("poll://any@g", "t", 0)]
    client.tick(50)
    assert client.executes() == []


def test_c6_an_awaiter_past_its_own_deadline_is_not_woken():
    client = Client()
    client.task_create("t", timeout_at=50)
    client.create("a")
    client.suspend("t", 1, "a")
    client.now = 50
    client.settle("a")
    assert client.executes() == []
    assert client.task("t") == {"id": "t", "state": "fulfilled", "version": 1, "resumes": 0}
    assert client.snap()["promises"][1]["state"] == "rejected_timedout", "written by the drain"


def test_c7_a_heartbeat_at_the_deadline_renews_nothing():
    client = Client()
    client.task_create("t", timeout_at=50, ttl=60)
    client.now = 50
    assert client.heartbeat(("t", 1)) == (200, {"lost": [{"id": "t", "version": 1}]})
    assert client.timeout("t") == (1, 60)


def test_c8_all_answers_are_projected():
    client = Client()
    branch = {"resonate:branch": "b"}
    client.create("a", branch, timeout_at=50)
    client.create("w", TARGET)
    client.create("t", {**TARGET, **branch})
    client.now = 50
    settled = client.promise("a")
    assert (settled["state"], settled["settledAt"]) == ("rejected_timedout", 50)
    assert client.acquire("t", 0)[1]["preload"] == [settled]
    assert client.fence_settle("t", 1, id="a", state="resolved")[1]["action"]["data"] == {
        "promise": settled
    }
    assert client.ask("promise.search", state="rejected_timedout")[1] == {"promises": [settled]}
    assert [
        each["id"] for each in client.ask("promise.search", state="pending")[1]["promises"]
    ] == [
        "t",
        "w",
    ]
    assert client.create("a")[1] == {"promise": settled}


def test_c9_an_execute_after_a_resume_carries_the_version_of_the_last_lease():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.suspend("t", 1, "a")
    client.settle("a")
    assert client.executes() == [("poll://any@g", "t", 1)]
    assert client.acquire("t", 1)[1]["task"]["version"] == 2


def test_c10_a_version_is_acquired_once():
    client = Client()
    client.create("t", TARGET)
    assert [client.acquire("t", 0)[0], client.acquire("t", 0)[0]] == [200, 409]


def test_c11_a_settled_promise_takes_no_callback_and_no_listener():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.settle("a")
    client.ask("promise.register_callback", awaited="a", awaiter="t")
    client.ask("promise.register_listener", awaited="a", address="http://h")
    snap = client.snap()
    assert snap["callbacks"] == snap["listeners"] == snap["messages"] == []
    assert client.task("t")["resumes"] == 0


@pytest.mark.parametrize("kind", ["start", "stop", "reset", "snap", "tick"])
def test_c12_debug_operations_are_refused_while_debug_is_off(kind):
    answer = Model(debug=False).handle(envelope(f"debug.{kind}", {"time": 1}), 5)
    assert answer == (403, "Debug operations are disabled")


def test_debug_time_replaces_the_clock_only_where_debug_is_on():
    for debug, created_at in ((True, 77), (False, 5)):
        asked = envelope("promise.create", {"id": "a", "timeoutAt": FAR})
        asked["head"]["resonate:debug_time"] = 77
        answer = Model(debug=debug).handle(asked, 5)
        assert answer[1]["promise"]["createdAt"] == created_at
