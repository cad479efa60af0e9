"""``POST /`` with an array: every element answered, in order, in one commit."""

from __future__ import annotations

import json

import pytest

from resonate.core import machine
from resonate.store.memory import MemoryStore
from resonate.store.sqlite import SqliteStore
from tests.gateway.servers import Server
from tests.gateway.wire import create, envelope, request


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def server(request, tmp_path_factory):
    sqlite = request.param == "sqlite"
    store = SqliteStore(tmp_path_factory.mktemp("batches") / "r.db") if sqlite else MemoryStore()
    running = Server(store=store)
    yield running
    running.probe()
    running.stop()


def ask(server, batch):
    with server.client() as client:
        return client.ask(request(batch))


def statuses(answer):
    return [each["head"]["status"] for each in answer.json]


def hold_whole(answer, text):
    assert answer.status == 400
    assert answer.json == {
        "kind": "unknown",
        "head": {"corrId": "0", "status": 400, "version": "2026-04-01"},
        "data": text,
    }
    assert answer.headers["content-type"] == "application/json"


def test_the_empty_batch_is_refused(server):
    hold_whole(ask(server, []), "Batch must not be empty")
    hold_whole(ask(server, b" \n [ ] "), "Batch must not be empty")


def test_a_thousand_requests_are_a_batch_and_one_more_is_not(server):
    one = envelope("promise.get", {"id": "nope"})
    answer = ask(server, [one] * 1_000)
    assert (answer.status, statuses(answer)) == (200, [404] * 1_000)
    hold_whole(ask(server, [one] * 1_001), "Batch too large: 1001 requests, limit 1000")


def test_a_million_elements_are_refused(server):
    hold_whole(
        ask(server, b"[" + b"0," * 1_000_000 + b"0]"),
        "Batch too large: 1000001 requests, limit 1000",
    )


@pytest.mark.parametrize("body", [b"[", b"[{}", b"[{},]", b"[1 2]", b"[]x", b"[" * 100_000])
def test_a_broken_array_is_refused_as_a_whole(server, body):
    answer = ask(server, body)
    assert answer.status == 400
    assert answer.text.startswith("Invalid request envelope: ")


def test_elements_see_what_those_before_them_did(server):
    batch = [
        envelope("promise.get", {"id": "b1"}, "a"),
        envelope("promise.create", create("b1"), "b"),
        envelope("promise.get", {"id": "b1"}, "c"),
        envelope("promise.settle", {"id": "b1", "state": "rejected"}, "d"),
        envelope("promise.settle", {"id": "b1", "state": "resolved"}, "e"),
    ]
    answer = ask(server, batch)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert statuses(answer) == [404, 200, 200, 200, 200]
    assert [each["kind"] for each in answer.json] == [each["kind"] for each in batch]
    assert [each["head"]["corrId"] for each in answer.json] == list("abcde")
    states = [each["data"]["promise"]["state"] for each in answer.json[1:]]
    assert states == ["pending", "pending", "rejected", "rejected"]


def test_all_elements_have_one_instant(server):
    answer = ask(server, [envelope("promise.create", create(f"instant{n}")) for n in range(500)])
    assert len({each["data"]["promise"]["createdAt"] for each in answer.json}) == 1


def test_refused_elements_stand_in_their_places(server):
    wrong_version = envelope("promise.get", {"id": "x"}, "v")
    wrong_version["head"]["version"] = "1999"
    batch = [
        7,
        envelope("promise.create", create("b2"), "ok"),
        None,
        [],
        [envelope("promise.get", {"id": "x"})],
        {"kind": "promise.get"},
        {"kind": "promise.get", "head": {"corrId": "half"}},
        envelope("promise.get", {"id": ""}, "empty"),
        envelope("no.such.kind", {}, "unknown"),
        wrong_version,
        envelope("promise.get", {"id": "b2"}, "last"),
    ]
    answer = ask(server, batch)
    assert answer.status == 200
    assert statuses(answer) == [400, 200, 400, 400, 400, 400, 400, 400, 400, 400, 200]
    assert [(each["kind"], each["head"]["corrId"]) for each in answer.json] == [
        ("unknown", "0"),
        ("promise.create", "ok"),
        ("unknown", "0"),
        ("unknown", "0"),
        ("unknown", "0"),
        ("promise.get", "0"),
        ("promise.get", "half"),
        ("promise.get", "empty"),
        ("no.such.kind", "unknown"),
        ("promise.get", "v"),
        ("promise.get", "last"),
    ]
    texts = [each["data"] for each in answer.json if isinstance(each["data"], str)]
    assert all(text.startswith("Invalid request envelope: ") for text in texts[:6])
    assert texts[6:8] == ["Promise ID is required", "Unknown operation: no.such.kind"]


def test_a_batch_of_refusals_only(server):
    answer = ask(server, [1, 2, 3])
    assert (answer.status, statuses(answer)) == (200, [400, 400, 400])


@pytest.mark.parametrize(
    "kind", ["debug.start", "debug.snap", "debug.tick", "debug.reset", "debug.nonsense"]
)
def test_debug_operations_are_not_for_batches(server, kind):
    answer = ask(server, [envelope(kind, {}, "d"), envelope("promise.get", {"id": "nope"}, "g")])
    assert answer.status == 200
    assert statuses(answer) == [400, 404]
    assert answer.json[0]["data"] == f"Not allowed in a batch: {kind}"
    assert answer.json[0]["head"]["corrId"] == "d"


def test_a_batch_of_which_nothing_was_carried_out_is_503(server, monkeypatch):
    batch = [envelope("promise.get", {"id": "x"}), 7, envelope("promise.create", create("b3"))]
    with monkeypatch.context() as patch:
        patch.setattr(server.engine, "problem", "the disk is full")
        answer = ask(server, batch)
    assert (answer.status, statuses(answer)) == (503, [503, 400, 503])
    assert answer.headers["retry-after"] == "1"
    assert ask(server, [envelope("promise.get", {"id": "b3"})]).json[0]["head"]["status"] == 404


@pytest.mark.parametrize(("broken", "status"), [({"x"}, 200), ({"x", "y"}, 503)])
def test_a_batch_of_which_something_failed(server, monkeypatch, complaints, broken, status):
    handle = machine.handle

    def fail(one, state):
        if one.data.id in broken:
            raise ZeroDivisionError
        return handle(one, state)

    with monkeypatch.context() as patch:
        patch.setattr(machine, "handle", fail)
        answer = ask(server, [envelope("promise.get", {"id": each}) for each in ("x", "y")])
    expected = [500 if each in broken else 404 for each in ("x", "y")]
    assert (answer.status, statuses(answer)) == (status, expected)
    assert len(complaints.expected()) == len(broken)


def test_white_space_before_a_batch(server):
    body = json.dumps([envelope("promise.get", {"id": "nope"})]).encode()
    assert statuses(ask(server, b" \r\n\t" + body + b"  ")) == [404]


def test_batches_and_requests_share_a_connection(server):
    one = envelope("promise.get", {"id": "nope"}, "one")
    with server.client() as client:
        client.send(request([one, one]) + request(one) + request([]) + request([one]))
        shapes = [client.answer() for _ in range(4)]
    assert [each.status for each in shapes] == [200, 404, 400, 200]
    assert [len(each.json) for each in (shapes[0], shapes[3])] == [2, 1]


def test_what_comes_behind_too_large_an_answer_is_not_carried_out(server, monkeypatch):
    monkeypatch.setattr("resonate.engine.batches.ANSWER_BYTES_MAX", 250_000)
    name = f"large {id(monkeypatch)}"
    large = create(name, param={"data": "x" * 100_000})
    assert ask(server, [envelope("promise.create", large)]).status == 200
    batch = [envelope("promise.get", {"id": name}, str(number)) for number in range(5)]
    batch.append(envelope("promise.create", create(f"behind {name}"), "5"))
    answer = ask(server, batch)
    assert (answer.status, statuses(answer)) == (200, [200] * 3 + [503] * 3)
    assert [each["head"]["corrId"] for each in answer.json] == list("012345")
    text = "Service unavailable: the answer to this batch is too large"
    assert answer.json[5]["data"] == text
    assert statuses(ask(server, [envelope("promise.get", {"id": f"behind {name}"})])) == [404]
