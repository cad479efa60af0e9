"""Batches: an array of envelopes, each checked on its own (section 8.2)."""

from __future__ import annotations

import json

import pytest

from resonate.protocol.envelope import LENIENT, is_batch, read, read_batch
from resonate.protocol.limits import BATCH_REQUESTS_MAX
from tests.protocol.bodies import ALL_RULES, DEBUG, HEAD, STRICT, refusal

GET = {"kind": "promise.get", "head": HEAD, "data": {"id": "p"}}


def raw(value):
    return json.dumps(value).encode()


def test_a_batch_is_an_array():
    assert is_batch(b"[]")
    assert is_batch(b" \n\t[")
    assert not is_batch(raw(GET))
    assert not is_batch(b"")
    assert not is_batch(b"  ")


def test_an_empty_batch_is_refused_as_a_whole():
    assert refusal(read_batch(b"[ ]")) == (400, "Batch must not be empty", "unknown", "0")


def test_a_batch_has_at_most_1000_requests():
    assert len(read_batch(raw([GET] * BATCH_REQUESTS_MAX))) == BATCH_REQUESTS_MAX == 1_000
    text = "Batch too large: 1001 requests, limit 1000"
    assert refusal(read_batch(raw([GET] * 1_001))) == (400, text, "unknown", "0")


@pytest.mark.parametrize("found", [b"[", b"[{]", b"[}", raw([GET]) + b"x", raw([GET])[:-1] + b",]"])
def test_a_batch_that_is_not_json_is_refused_as_a_whole(found):
    status, text, kind, corr_id = refusal(read_batch(found))
    assert (status, kind, corr_id) == (400, "unknown", "0")
    assert text.startswith("Invalid request envelope: ")


def test_each_element_of_a_batch_is_checked_on_its_own():
    items = read_batch(
        raw(
            [
                GET,
                None,
                {"kind": "nope", "head": HEAD, "data": {}},
                {**GET, "data": {"id": ""}},
                {},
                GET,
            ]
        )
    )
    assert items[0] == items[5] == read(raw(GET))
    assert refusal(items[1]) == (
        400,
        "Invalid request envelope: expected an object",
        "unknown",
        "0",
    )
    assert refusal(items[2]) == (400, "Unknown operation: nope", "nope", "c")
    assert refusal(items[3]) == (400, "Promise ID is required", "promise.get", "c")
    assert refusal(items[4])[1].startswith("Invalid request envelope: ")


def test_a_batch_in_a_batch_is_not_an_envelope():
    (item,) = read_batch(raw([[GET]]))
    assert refusal(item) == (400, "Invalid request envelope: expected an object", "unknown", "0")


@pytest.mark.parametrize("rules", ALL_RULES)
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("debug.reset", {}),
        ("debug.snap", {"x": 1}),
        ("debug.tick", {"time": 5}),
        ("debug.tick", {}),
        ("debug.nope", {}),
        ("debug.", {}),
    ],
)
def test_debug_operations_are_not_allowed_in_a_batch(rules, kind, data):
    first, item = read_batch(raw([GET, {"kind": kind, "head": HEAD, "data": data}]), rules)
    assert refusal(item) == (400, f"Not allowed in a batch: {kind}", kind, "c")
    assert first == read(raw(GET))


@pytest.mark.parametrize("rules", [LENIENT, DEBUG])
@pytest.mark.parametrize(
    ("envelope", "text", "corr_id"),
    [
        ({"kind": "debug.reset"}, "Invalid request envelope: missing field `head`", "0"),
        ({"kind": "debug.reset", "head": HEAD, "data": []}, "Invalid 'data' field", "c"),
        (
            {"kind": "debug.reset", "head": {**HEAD, "version": "1"}, "data": {}},
            "Unsupported protocol version '1'",
            "c",
        ),
    ],
)
def test_that_it_is_an_envelope_at_all_is_looked_at_before(rules, envelope, text, corr_id):
    (item,) = read_batch(raw([envelope]), rules)
    status, found, *echoed = refusal(item)
    assert (status, *echoed) == (400, "debug.reset", corr_id)
    assert found.startswith(text)


def test_the_elements_of_a_batch_are_read_by_the_rules_of_the_server():
    search = {"kind": "task.search", "head": HEAD, "data": {}}
    assert refusal(read_batch(raw([search]), STRICT)[0])[:2] == (501, "Not implemented")
    assert read_batch(raw([search])) == [read(raw(search))]
