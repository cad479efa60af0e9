"""The model lives through the traces of real clients in section 7."""

from __future__ import annotations

from tests.model.client import EXTERNAL, FAR, TIMER, Client

ANY, UNI = "poll://any@default", "poll://uni@default/p1"
VALUE = {"data": "Mg=="}


def tags(origin: str, branch: str, parent: str, **more: str) -> dict[str, str]:
    return {
        "resonate:origin": origin,
        "resonate:branch": branch,
        "resonate:parent": parent,
        **{f"resonate:{name}": text for name, text in more.items()},
    }


def run(client: Client, promise_id: str, pid: str = "p1"):
    """7.1 step 1."""
    data = {
        "id": promise_id,
        "timeoutAt": FAR,
        "param": {"data": "e30="},
        "tags": tags(promise_id, promise_id, promise_id, scope="global", target=ANY),
    }
    inner = {"kind": "promise.create", "head": {}, "data": data}
    return client.ask("task.create", pid=pid, ttl=60_000, action=inner)


def fulfill(client: Client, task_id: str, version: int):
    data = {"id": task_id, "state": "resolved", "value": VALUE}
    inner = {"kind": "promise.settle", "head": {}, "data": data}
    return client.ask("task.fulfill", id=task_id, version=version, action=inner)


def listen(client: Client, promise_id: str):
    return client.ask("promise.register_listener", awaited=promise_id, address=UNI)


def test_7_1_run_of_a_leaf_function():
    client = Client()
    status, data = run(client, "leaf")
    assert status == 200
    assert data["task"] == {
        "id": "leaf",
        "state": "acquired",
        "version": 1,
        "resumes": 0,
        "ttl": 60_000,
        "pid": "p1",
    }
    assert (data["promise"]["state"], data["preload"]) == ("pending", [])
    assert listen(client, "leaf")[0] == 200
    beat = client.ask("task.heartbeat", pid="p1", tasks=[{"id": "leaf", "version": 1}])
    assert beat == (200, {})
    settled = fulfill(client, "leaf", 1)[1]["promise"]
    assert settled["value"] == VALUE
    assert client.unblocks() == [(UNI, "leaf", "resolved")]
    again = run(client, "leaf")[1]
    assert (again["task"]["state"], again["promise"], again["preload"]) == (
        "fulfilled",
        settled,
        [],
    )
    assert listen(client, "leaf") == (200, {"promise": settled})


def test_7_2_rpc_executed_by_another_worker():
    client = Client()
    client.create("job", tags("job", "job", "job", target=ANY))
    listen(client, "job")
    assert client.executes() == [(ANY, "job", 0)]
    status, data = client.acquire("job", 0)
    assert (status, data["task"]["version"], data["preload"]) == (200, 1, [])
    assert client.acquire("job", 0) == (409, "Task is not pending")
    assert fulfill(client, "job", 1)[0] == 200
    assert client.unblocks() == [(UNI, "job", "resolved")]


def test_7_3_workflow_with_a_local_step():
    client = Client()
    run(client, "wl")
    step = {
        "id": "wl:1",
        "timeoutAt": FAR,
        "param": {},
        "tags": tags("wl", "wl", "wl", scope="local"),
    }
    status, data = client.fence_create("wl", 1, **step)
    assert (status, data["preload"]) == (200, [])
    inner = data["action"]
    assert (inner["kind"], inner["head"]["status"]) == ("promise.create", 200)
    assert inner["head"]["corrId"] == "2"
    assert inner["data"]["promise"]["state"] == "pending"
    client.fence_settle("wl", 1, id="wl:1", state="resolved", value=VALUE)
    client.release("wl", 1)
    loaded = client.acquire("wl", 1)[1]["preload"]
    assert [(each["id"], each["state"]) for each in loaded] == [("wl:1", "resolved")]
    assert fulfill(client, "wl", 2)[0] == 200


def test_7_4_suspend_and_resume():
    client = Client()
    run(client, "wr")
    child = {"id": "wr:1", "timeoutAt": FAR, "tags": tags("wr", "wr:1", "wr", target=ANY)}
    client.fence_create("wr", 1, **child)
    assert client.executes() == [(ANY, "wr:1", 0)]
    assert client.suspend("wr", 1, "wr:1") == (200, {})
    client.acquire("wr:1", 0)
    fulfill(client, "wr:1", 1)
    assert client.task("wr") == {"id": "wr", "state": "pending", "version": 1, "resumes": 1}
    assert client.executes() == [(ANY, "wr", 1)]
    task = client.acquire("wr", 1)[1]["task"]
    assert (task["version"], task["resumes"]) == (2, 0)
    replayed = client.fence_create("wr", 2, **child)[1]["action"]["data"]["promise"]
    assert replayed["value"] == VALUE
    assert client.suspend("wr", 2, "wr:1") == (300, {"preload": [replayed]})
    assert fulfill(client, "wr", 2)[0] == 200


def test_7_5_sleep_with_and_without_a_target():
    for more in ({"target": ANY}, {}):
        client = Client()
        run(client, "ws")
        timer = {
            "id": "ws:1",
            "timeoutAt": 500,
            "tags": {**tags("ws", "ws:1", "ws", **more), **TIMER},
        }
        client.fence_create("ws", 1, **timer)
        client.suspend("ws", 1, "ws:1")
        client.tick(499)
        assert client.executes() == []
        client.tick(500)
        assert client.executes() == [(ANY, "ws", 1)]
        client.acquire("ws", 1)
        timer["timeoutAt"] = 900
        stored = client.fence_create("ws", 2, **timer)[1]["action"]["data"]["promise"]
        assert (stored["state"], stored["timeoutAt"]) == ("resolved", 500)


def test_7_6_a_detached_child_is_dispatched_after_its_parent_is_done():
    client = Client()
    run(client, "wd")
    child = {"id": "wd:d0", "timeoutAt": FAR, "tags": tags("wd", "wd:d0", "wd", target=ANY)}
    client.fence_create("wd", 1, **child)
    fulfill(client, "wd", 1)
    assert client.executes() == [(ANY, "wd:d0", 0)]


def test_7_7_an_external_promise_is_settled_by_anybody():
    client = Client()
    run(client, "wp")
    client.fence_create("wp", 1, id="wp:1", timeoutAt=FAR, tags=EXTERNAL)
    client.suspend("wp", 1, "wp:1")
    client.settle("wp:1")
    assert client.executes() == [(ANY, "wp", 1)]


def test_7_8_an_error_of_the_platform_releases_the_task():
    client = Client()
    run(client, "we")
    assert client.release("we", 1) == (200, {})
    assert client.executes() == [(ANY, "we", 1)]
    assert client.fulfill("we", 1) == (409, "Task version mismatch or invalid state")


def test_7_9_get_of_an_unknown_promise_is_404():
    assert Client().ask("promise.get", id="x") == (404, "Promise not found")


def test_7_10_a_schedule_fires_every_minute_until_it_is_deleted():
    client = Client()
    data = {
        "id": "sch",
        "cron": "* * * * *",
        "promiseId": "{{.id}}-{{.timestamp}}",
        "promiseTimeout": 86_400_000,
        "promiseParam": VALUE,
        "promiseTags": {"resonate:target": ANY},
    }
    status, answer = client.ask("schedule.create", **data)
    assert (status, answer["schedule"]) == (200, {**data, "createdAt": 0, "nextRunAt": 60_000})
    client.tick(60_000)
    assert client.executes() == [(ANY, "sch-60000", 0)]
    assert client.ask("schedule.delete", id="sch") == (200, {})
    client.tick(120_000)
    assert client.executes() == [(ANY, "sch-60000", 0)]


def test_7_11_invoke_with_a_delay():
    client = Client(now=1000)
    client.create("i", {"resonate:target": ANY, "resonate:delay": "6000"}, timeout_at=16_000)
    client.tick(5999)
    assert client.executes() == []
    client.tick(6000)
    assert client.executes() == [(ANY, "i", 0)]
