"""Messages: one line of ASCII, and back again what was put in (sections 6.2 and 6.3)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.messages import ExecuteData, encode_ascii, encode_event, execute, unblock
from resonate.protocol.records import EMPTY, PromiseRecord, TaskRecord, Value
from resonate.protocol.requests import TaskRef

URL = "http://localhost:8001"


def promise(text="p"):
    return PromiseRecord(text, "resolved", EMPTY, Value({text: text}, text), {text: text}, 9, 1, 5)


def test_an_offer_names_the_task_and_its_version():
    event = encode_event(execute(URL, ExecuteData(TaskRef("wf", 0))))
    assert event == (
        b'data: {"kind":"execute","head":{"serverUrl":"http://localhost:8001"},'
        b'"data":{"task":{"id":"wf","version":0}}}\n\n'
    )


def test_a_claimed_task_comes_with_its_whole_lease():
    task = TaskRecord("wf", "acquired", 1, 0, 60_000, "w1")
    pending = PromiseRecord("wf", "pending", Value(data="x"), EMPTY, {}, 9, 1)
    message = json.loads(encode_ascii(execute(URL, LeaseAnswer(task, pending, []))))
    assert message["data"] == {
        "task": {
            "id": "wf",
            "state": "acquired",
            "version": 1,
            "resumes": 0,
            "ttl": 60_000,
            "pid": "w1",
        },
        "promise": {
            "id": "wf",
            "state": "pending",
            "param": {"data": "x"},
            "value": {},
            "tags": {},
            "timeoutAt": 9,
            "createdAt": 1,
        },
        "preload": [],
    }


def test_an_unblock_carries_the_record_with_objects_and_never_null():
    settled = PromiseRecord("wf", "rejected_timedout", EMPTY, EMPTY, {}, 9, 1, 9)
    event = encode_event(unblock(settled))
    assert event == (
        b'data: {"kind":"unblock","head":{},"data":{"promise":{"id":"wf","state":"rejected_timedout",'
        b'"param":{},"value":{},"tags":{},"timeoutAt":9,"createdAt":1,"settledAt":9}}}\n\n'
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x7e", b"~"),
        ("\x7f", b"\\u007f"),
        ("\x80", b"\\u0080"),
        ("\x85", b"\\u0085"),
        ("é", b"\\u00e9"),
        ("\u2028", b"\\u2028"),
        ("\u2029", b"\\u2029"),
        ("\ufeff", b"\\ufeff"),
        ("\uffff", b"\\uffff"),
        ("\U00010000", b"\\ud800\\udc00"),
        ("\U0001f600", b"\\ud83d\\ude00"),
        ("\U0010ffff", b"\\udbff\\udfff"),
        ("\\", b"\\\\"),
        ("\\\x7f", b"\\\\\\u007f"),
        ("\n\r\x00\x1f", b"\\n\\r\\u0000\\u001f"),
    ],
)
def test_everything_above_u007e_is_escaped(text, escaped):
    body = encode_ascii(execute(URL, ExecuteData(TaskRef(text, 0))))
    assert b'"id":"' + escaped + b'"' in body
    assert json.loads(body)["data"]["task"]["id"] == text


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_event_is_one_line_of_ascii_and_reads_back_as_it_was(text):
    event = encode_event(unblock(promise(text)))
    assert all(0x20 <= byte <= 0x7E for byte in event[:-2])
    assert event.startswith(b"data: ")
    assert event.endswith(b"}\n\n")
    record = json.loads(event[6:])["data"]["promise"]
    assert record["id"] == text
    assert record["value"] == {"headers": {text: text}, "data": text}
    assert record["tags"] == {text: text}
    assert len(event.decode().splitlines()) == 2
