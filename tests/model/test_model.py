"""The model against the tables of the reference: answers by state (3.4), the easy mistakes (3.6),
the modes (4), the checklist (9.1) and the known defects of others (10)."""

from __future__ import annotations

import pytest

from tests.model.client import EXTERNAL, FAR, TARGET, TIMER, Client, action

EXECUTE_T = [("poll://any@g", "t", 1)]

# ------------------------------------------------------------------- 3.4, answers by task state


def bring(client: Client, state: str) -> None:
    """Bring task t to a state, at version 1 where it has been acquired."""
    if state == "none":
        return
    client.task_create("t", timeout_at=100 if state == "dead" else FAR)
    match state:
        case "pending":
            client.release("t", 1)
        case "suspended":
            client.create("awaited", EXTERNAL)
            assert client.suspend("t", 1, "awaited") == (200, {})
        case "halted":
            client.ask("task.halt", id="t")
        case "fulfilled":
            client.fulfill("t", 1)
        case "dead":
            client.now = 100


STATES = ("none", "pending", "acquired", "suspended", "halted", "fulfilled", "dead")
LEASED = (404, 409, 200, 409, 409, 409, 409)
TABLE = {
    "task.create": (200, 200, 409, 409, 409, 200, 200),
    "task.acquire": (404, 200, 409, 409, 409, 409, 409),
    "task.fence": LEASED,
    "task.fulfill": LEASED,
    "task.release": LEASED,
    "task.suspend": LEASED,
    "task.heartbeat": (200, 200, 200, 200, 200, 200, 200),
    "task.halt": (404, 200, 200, 200, 200, 409, 409),
    "task.continue": (404, 409, 409, 409, 200, 409, 409),
}


def asked(client: Client, kind: str):
    match kind:
        case "task.create":
            return client.task_create("t")
        case "task.acquire":
            return client.acquire("t", 1)
        case "task.fence":
            return client.fence_create("t", 1, id="inner", timeoutAt=FAR)
        case "task.fulfill":
            return client.fulfill("t", 1)
        case "task.release":
            return client.release("t", 1)
        case "task.suspend":
            client.create("pending", EXTERNAL)
            return client.suspend("t", 1, "pending")
        case "task.heartbeat":
            return client.heartbeat(("t", 1))
        case _:
            return client.ask(kind, id="t")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", TABLE)
def test_answers_by_task_state_are_those_of_the_table(kind, strict):
    found = []
    for state in STATES:
        client = Client(strict=strict)
        bring(client, state)
        found.append(asked(client, kind)[0])
    assert tuple(found) == TABLE[kind]


def test_task_create_on_a_promise_without_target_is_422():
    client = Client()
    client.create("t")
    assert client.task_create("t") == (422, "Promise exists without a target task")


def test_suspend_answers_300_when_something_awaited_is_settled_and_422_when_it_is_missing():
    client = Client()
    client.task_create("t")
    client.create("settled")
    client.settle("settled")
    assert client.suspend("t", 1, "settled", "missing") == (422, "Awaited promise not found")
    status, data = client.suspend("t", 1, "settled")
    assert (status, [each["id"] for each in data["preload"]]) == (300, ["settled"])
    assert client.state("t") == "acquired"


# ------------------------------------------------------------------------------ 3.6, the rules


def test_a_version_rises_only_when_a_task_is_acquired():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.suspend("t", 1, "a")
    client.settle("a")
    versions = [client.task("t")["version"]]
    for kind in ("task.halt", "task.continue"):
        client.ask(kind, id="t")
        versions.append(client.task("t")["version"])
    client.acquire("t", 1)
    versions.append(client.task("t")["version"])
    client.tick(1000)
    versions.append(client.task("t")["version"])
    assert versions == [1, 1, 1, 2, 2]


def test_release_expiry_resume_and_continue_dispatch_at_once():
    client = Client(now=5)
    client.task_create("t")
    client.release("t", 1)
    assert client.executes() == EXECUTE_T
    client.acquire("t", 1)
    assert client.executes() == []
    client.tick(15)
    assert client.executes() == [("poll://any@g", "t", 2)]
    assert client.timeout("t") == (0, 2015)


def test_resumes_are_a_set_that_a_halted_task_goes_on_collecting():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.create("b")
    client.suspend("t", 1, "a", "b")
    client.settle("a")
    client.settle("a")
    client.ask("task.halt", id="t")
    client.settle("b")
    assert client.task("t") == {"id": "t", "state": "halted", "version": 1, "resumes": 2}
    assert client.executes() == []
    client.ask("task.continue", id="t")
    assert client.executes() == EXECUTE_T
    assert client.acquire("t", 1)[1]["task"]["resumes"] == 0


def test_a_promise_created_at_its_deadline_is_born_settled():
    client = Client(now=7)
    _, data = client.create("t", {**TARGET, **TIMER}, timeout_at=7)
    record = data["promise"]
    found = [record[name] for name in ("state", "createdAt", "settledAt")]
    assert found == ["resolved", 7, 7]
    assert client.task("t") == {"id": "t", "state": "fulfilled", "version": 0, "resumes": 0}


def test_a_delay_postpones_the_first_dispatch_only():
    client = Client()
    client.create("t", {**TARGET, "resonate:delay": "50"})
    client.tick(49)
    assert client.executes() == []
    client.tick(50)
    assert client.executes() == [("poll://any@g", "t", 0)]
    client.acquire("t", 0)
    client.release("t", 1)
    assert client.timeout("t") == (0, 2050)


def test_a_callback_left_over_wakes_a_suspended_task_early():
    client = Client()
    client.task_create("t")
    for each in "ab":
        client.create(each)
    client.suspend("t", 1, "a", "b")
    client.settle("a")
    client.acquire("t", 1)
    client.create("c")
    client.suspend("t", 2, "c")
    client.settle("b")
    assert client.task("t")["state"] == "pending"


def test_every_occurrence_of_a_missed_window_fires_at_its_instant():
    client = Client()
    client.ask(
        "schedule.create",
        id="s",
        cron="* * * * *",
        promiseId="{{.id}}.{{.timestamp}}",
        promiseTimeout=60_000,
        promiseTags=TARGET,
    )
    client.tick(180_000)
    records = client.snap()["promises"]
    born = [(each["id"], each["createdAt"], each["state"]) for each in records]
    assert born == [
        ("s.120000", 120_000, "rejected_timedout"),
        ("s.180000", 180_000, "pending"),
        ("s.60000", 60_000, "rejected_timedout"),
    ]
    assert client.executes() == [("poll://any@g", "s.180000", 0)]
    names = ("schedule", "origin", "branch", "parent", "prefix")
    tags = {f"resonate:{name}": "s.60000" for name in names}
    assert records[2]["tags"] == {**tags, "resonate:schedule": "s", **TARGET}
    schedule = client.ask("schedule.get", id="s")[1]["schedule"]
    assert (schedule["lastRunAt"], schedule["nextRunAt"]) == (180_000, 240_000)


def test_a_lease_saturates():
    client = Client(now=2**63 - 100)
    client.task_create("t", timeout_at=2**63 - 1, ttl=2**63 - 1)
    assert client.timeout("t") == (1, 2**63 - 1)


def test_an_execute_and_an_unblock_never_share_a_key():
    client = Client()
    client.create("p:notify:http://h", TARGET)
    client.create("p")
    client.ask("promise.register_listener", awaited="p", address="http://h")
    client.settle("p")
    assert client.executes() == [("poll://any@g", "p:notify:http://h", 0)]
    assert client.unblocks() == [("http://h", "p", "resolved")]


def test_registering_again_on_a_settled_promise_drops_its_unblock():
    client = Client()
    client.create("p")
    for address in ("http://a", "http://b"):
        client.ask("promise.register_listener", awaited="p", address=address)
    client.settle("p")
    client.ask("promise.register_listener", awaited="p", address="http://a")
    assert client.unblocks() == [("http://b", "p", "resolved")]


# ------------------------------------------------------------------------------- 8, extensions


def test_a_heartbeat_tells_what_it_did_not_renew():
    client = Client()
    client.task_create("t", ttl=100)
    client.now = 10
    assert client.heartbeat(("t", 1), ("t", 2), ("x", 0)) == (
        200,
        {"lost": [{"id": "t", "version": 2}, {"id": "x", "version": 0}]},
    )
    assert client.timeout("t") == (1, 110)


@pytest.mark.parametrize(("strict", "expires"), [(False, 110), (True, 100)])
def test_an_empty_heartbeat_renews_all_of_a_pid_in_lenient_mode(strict, expires):
    client = Client(strict=strict)
    client.task_create("t", ttl=100)
    client.now = 10
    assert client.heartbeat() == (200, {})
    assert client.timeout("t") == (1, expires)


def test_a_release_with_delay_is_not_shortened_by_resumes():
    client = Client()
    client.task_create("t")
    client.create("a")
    client.ask("promise.register_callback", awaited="a", awaiter="t")
    client.release("t", 1, delay=500)
    client.settle("a")
    assert client.task("t")["resumes"] == 1
    assert client.timeout("t") == (0, 500)
    assert client.executes() == []


def test_elements_of_a_batch_see_what_came_before_them():
    client = Client()
    envelopes = [
        {"kind": "promise.create", "data": {"id": "a", "timeoutAt": FAR}},
        {"kind": "promise.get", "data": {"id": "a"}},
        {"kind": "debug.snap", "data": {}},
    ]
    for each in envelopes:
        each["head"] = {"corrId": "1", "version": "2026-04-01"}
    created, got, refused = client.model.batch([*envelopes], 5)
    assert got == created
    assert refused == (400, "Not allowed in a batch: debug.snap")


def test_pages_by_age_go_on_behind_an_opaque_cursor():
    client = Client()
    for now, each in enumerate("cab"):
        client.now = now
        client.create(each)
    first = client.ask("promise.search", order="newest", limit=2)[1]
    assert [each["id"] for each in first["promises"]] == ["b", "a"]
    rest = client.ask("promise.search", order="newest", limit=2, cursor=first["cursor"])[1]
    assert [each["id"] for each in rest["promises"]] == ["c"]
    assert "cursor" not in rest


# --------------------------------------------------------------------- 4, row 1, and 10, row 8


def test_a_timer_with_a_target_is_never_dispatched():
    client = Client()
    client.create("t", {**TARGET, **TIMER}, timeout_at=100)
    assert client.timeout("t") == (0, 100)
    client.acquire("t", 0)
    client.release("t", 1)
    assert client.timeout("t") == (0, 100)
    client.tick(99)
    assert client.executes() == []
    client.tick(100)
    assert client.promise("t")["state"] == "resolved"
    assert client.state("t") == "fulfilled"


def test_strict_mode_refuses_a_timer_with_a_target():
    text = "A resonate:timer promise must not have a resonate:target tag"
    client = Client(strict=True)
    assert client.create("t", {**TARGET, **TIMER}) == (400, text)
    assert client.task_create("t", **TIMER) == (400, text)
    client.task_create("w")
    status, data = client.fence_create("w", 1, id="t", timeoutAt=FAR, tags={**TARGET, **TIMER})
    assert (status, data["action"]["head"]["status"], data["action"]["data"]) == (200, 400, text)


def test_strict_mode_wants_awaited_promises_external_and_distinct():
    client = Client(strict=True)
    client.task_create("t")
    client.create("internal")
    client.create("external", EXTERNAL)
    text = "Awaited promise is not external"
    assert client.suspend("t", 1, "external", "internal") == (422, text)
    for kind, more in (("callback", {"awaiter": "t"}), ("listener", {"address": "http://h"})):
        answer = client.ask(f"promise.register_{kind}", awaited="internal", **more)
        assert answer == (422, text)
    twice = client.suspend("t", 1, "external", "external")
    assert twice == (400, "Awaited promises must be distinct")


@pytest.mark.parametrize("kind", ["promise.search", "task.search", "schedule.search"])
def test_strict_mode_searches_nothing(kind):
    assert Client(strict=True).ask(kind) == (501, "Not implemented")


def test_strict_mode_looks_at_nested_kinds_and_heads():
    client = Client(strict=True)
    inner = action("promise.create", id="t", timeoutAt=FAR, tags=TARGET)
    wrong = {**inner, "kind": "promise.settle"}
    headless = {"kind": inner["kind"], "data": inner["data"]}
    answers = [
        client.ask("task.create", pid="p", ttl=1, action=each) for each in (wrong, headless, inner)
    ]
    assert answers[0] == (400, "Invalid action kind")
    assert answers[1] == (400, "Invalid request: *")
    assert answers[2][0] == 200
