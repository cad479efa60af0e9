"""Defects of other servers (section 10 of the reference) that show on the wire: one test a row.

Row 7 stands in test_stream_life (a stream is ended before its age) and in tests/clients/test_long.
"""

from __future__ import annotations

import pytest

from tests.gateway.wire import create, post

SCHEDULE = {"id": "s", "promiseId": "x", "promiseTimeout": 5}


def ask(server, kind, data):
    with server.client() as client:
        return client.ask(post(kind, data))


def refused(server, kind, data, text):
    answer = ask(server, kind, data)
    assert (answer.status, answer.text) == (400, text)


@pytest.mark.parametrize("target", ["", " ", "poll://", "poll://any@", "nonsense"])
def test_row_12_an_empty_target_is_refused(server, target):
    text = "Invalid resonate:target address"
    refused(server, "promise.create", create("row 12", target=target), text)
    action = {"kind": "promise.create", "head": {}, "data": create("row 12", target=target)}
    refused(server, "task.create", {"pid": "w", "ttl": 5, "action": action}, text)
    tags = {"promiseTags": {"resonate:target": target}}
    refused(server, "schedule.create", {**SCHEDULE, "cron": "* * * * *", **tags}, text)
    assert ask(server, "promise.get", {"id": "row 12"}).status == 404


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 0 1 1 * 1999", "0 0 31 4 *"])
def test_row_14_a_schedule_without_an_occurrence_is_refused(server, cron):
    refused(server, "schedule.create", {**SCHEDULE, "cron": cron}, "Invalid cron expression")
    assert ask(server, "schedule.get", {"id": "s"}).status == 404


def test_row_15_0_is_no_day_of_the_week(server):
    refused(server, "schedule.create", {**SCHEDULE, "cron": "0 0 * * 0"}, "Invalid cron expression")
    data = {**SCHEDULE, "id": "sunday", "cron": "0 0 * * 1"}
    at = server.post("schedule.create", data)["schedule"]["nextRunAt"]
    assert (at // 86_400_000 + 4) % 7 == 0  # 1970-01-01 was a Thursday
    server.post("schedule.delete", {"id": "sunday"})


@pytest.mark.parametrize("null", [{"param": None, "tags": None}, {}])
@pytest.mark.parametrize("value", [{"value": None}, {"value": {}}, {}])
def test_row_16_no_message_has_null_in_its_records(server, null, value):
    name = f"row 16 {null} {value}"
    tags = {"resonate:target": "poll://any@row16"}
    with (
        server.events("/poll/row16/w?claim=1&ttl=60000") as worker,
        server.events("/poll/row16/c?capacity=0") as caller,
    ):
        server.post("promise.create", {"id": name, "timeoutAt": 2**53 - 1, **null})
        listen = {"awaited": name, "address": "poll://uni@row16/c"}
        server.post("promise.register_listener", listen)
        server.post("promise.settle", {"id": name, "state": "resolved", **value})
        told = caller.event()["data"]["promise"]
        assert (told["param"], told["value"], told["tags"]) == ({}, {}, {})
        server.post("promise.create", create(f"task {name}", tags=tags, param=null.get("param")))
        lease = worker.event()["data"]
        assert (lease["promise"]["param"], lease["promise"]["value"]) == ({}, {})
        for record in (told, lease["promise"], lease["task"]):
            assert None not in record.values()
        server.settle(f"task {name}")
    server.gone("row16")


def test_row_17_a_uni_address_names_somebody(server):
    for address in ("poll://uni@g", "poll://uni@g/"):
        text = "Invalid resonate:target address"
        refused(server, "promise.create", create("row 17", target=address), text)
        data = {"awaited": "row 17", "address": address}
        refused(server, "promise.register_listener", data, "Invalid listener address")


@pytest.mark.parametrize("written", ["a%20b/x%2Fy", "%61 b/x%2fy", "a b/x/y"])
def test_row_17_names_match_however_they_are_written(server, written):
    with server.events("/poll/a%20b/x%2Fy") as events:
        server.task(f"row 17 {written}", f"poll://uni@{written}")
        assert events.task() == f"row 17 {written}"
        server.settle(f"row 17 {written}")
    server.gone("a b")
