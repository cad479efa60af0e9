"""Batches: an array of envelopes, each checked on its own (section 8.2)."""

from __future__ import annotations

import json

import pytest

from resonate.protocol.envelope import Refusal, is_batch, read, read_batch
from resonate.protocol.limits import BATCH_REQUESTS_MAX
from tests.protocol.bodies import HEAD

GET = {"kind": "promise.get", "head": HEAD, "data": {"id": "p"}}


def raw(value):
    return json.dumps(value).encode()


def refusal(found):
    assert isinstance(found, Refusal), found
    return found.status, found.text, found.kind, found.corr_id


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


def test_debug_operations_are_not_allowed_in_a_batch():
    (item,) = read_batch(raw([{"kind": "debug.reset", "head": HEAD, "data": {}}]))
    assert refusal(item) == (400, "Not allowed in a batch: debug.reset", "debug.reset", "c")
