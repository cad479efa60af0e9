"""Searches over HTTP: their answers as they stand on the wire, alone and in a batch."""

from __future__ import annotations

import pytest

from resonate.store.memory import MemoryStore
from resonate.store.sqlite import SqliteStore
from tests.gateway.servers import Server
from tests.gateway.wire import create, envelope, post, request


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def server(request, tmp_path_factory):
    sqlite = request.param == "sqlite"
    store = SqliteStore(tmp_path_factory.mktemp("searches") / "r.db") if sqlite else MemoryStore()
    running = Server(store=store)
    for number in range(3):
        tags = {"resonate:origin": "a0", "resonate:target": "poll://any@g"}
        running.post("promise.create", create(f"a{number}", tags=tags))
    running.post("promise.settle", {"id": "a1", "state": "rejected"})
    data = {"cron": "0 0 1 1 *", "promiseId": "x{{.timestamp}}", "promiseTimeout": 5}
    running.post("schedule.create", {"id": "s", **data, "promiseTags": {"k": "v"}})
    yield running
    running.probe()
    running.stop()


def test_a_page_and_its_cursor(server):
    first = server.post("promise.search", {"tags": {"resonate:origin": "a0"}, "limit": 2})
    assert list(first) == ["promises", "cursor"]
    assert first["promises"] == [
        server.post("promise.get", {"id": each})["promise"] for each in ("a0", "a1")
    ]
    rest = server.post("promise.search", {"limit": 2, "cursor": first["cursor"]})
    assert [each["id"] for each in rest["promises"]] == ["a2"]
    assert "cursor" not in rest  # absent on the last page, never null
    assert server.post("promise.search", {"idPrefix": "b"}) == {"promises": []}


def test_tasks_and_schedules(server):
    tasks = server.post("task.search", {"state": "fulfilled", "counts": True})
    assert tasks == {
        "tasks": [{"id": "a1", "state": "fulfilled", "version": 0, "resumes": 0}],
        "counts": {"pending": 2, "acquired": 0, "suspended": 0, "halted": 0, "fulfilled": 1},
    }
    (schedule,) = server.post("schedule.search", {"tags": {"k": "v"}})["schedules"]
    assert schedule == server.post("schedule.get", {"id": "s"})["schedule"]
    assert server.post("schedule.search", {"tags": {"k": "w"}}) == {"schedules": []}


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("promise.search", {"limit": 0}, "Limit must be a positive integer"),
        ("task.search", {"limit": 1_001}, "Invalid 'limit' — must be between 1 and 1000"),
        ("promise.search", {"order": "odd"}, "Invalid 'order' — must be one of id, newest, oldest"),
        ("promise.search", {"order": "newest", "cursor": "?"}, "Invalid cursor"),
    ],
)
def test_refusals(server, kind, data, text):
    with server.client() as client:
        answer = client.ask(post(kind, data))
    assert (answer.status, answer.text) == (400, text)


@pytest.mark.parametrize(
    "data",
    [
        {"cursor": "\x00"},
        {"cursor": "\U0010ffff" * 100},
        {"idPrefix": "\ud7ff"},
        {"idPrefix": "\U0010ffff"},
        {"idPrefix": "%_'\";--"},
        {"tags": {"": ""}},
        {"tags": {'"$.x': "\x00"}},
        {"createdFrom": 2**63 - 1, "createdTo": -(2**63)},
        {"order": "oldest", "cursor": "LTE6"},
    ],
)
def test_odd_filters_are_only_filters(server, data):
    with server.client() as client:
        assert client.ask(post("promise.search", data)).status in (200, 400)
    server.probe()


def test_in_a_batch_each_sees_what_stands_before_it(server):
    batch = [
        envelope("promise.search", {"idPrefix": "b"}, "0"),
        envelope("promise.create", create("b1"), "1"),
        {"kind": "promise.search"},
        envelope("promise.search", {"idPrefix": "b"}, "3"),
        envelope("promise.settle", {"id": "b1", "state": "resolved"}, "4"),
        envelope("promise.search", {"idPrefix": "b", "state": "resolved"}, "5"),
    ]
    with server.client() as client:
        answer = client.ask(request(batch))
    assert answer.status == 200
    assert [each["head"]["status"] for each in answer.json] == [200, 200, 400, 200, 200, 200]
    found = [answer.json[index]["data"]["promises"] for index in (0, 3, 5)]
    assert [[each["id"] for each in page] for page in found] == [[], ["b1"], ["b1"]]
