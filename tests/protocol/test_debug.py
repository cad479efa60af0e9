"""Debug operations at the door (section 5.4): on or off, and the instant that is given."""

from __future__ import annotations

import json

import pytest

from resonate.protocol import requests as rq
from resonate.protocol.envelope import LENIENT, Rules, read
from resonate.protocol.limits import INT64_MAX
from tests.protocol.bodies import DEBUG, DEBUG_VALID, HEAD, STRICT, VALID, body, refusal

ON = [DEBUG, Rules(strict=True, debug=True)]
OFF = [LENIENT, Rules(), STRICT]
NO_TIME = "Missing or invalid 'time' field"
TIME = "resonate:debug_time"


def at(instant, kind="promise.get", data=None):
    """Return a body that names an instant."""
    found = {**VALID, **DEBUG_VALID}[kind] if data is None else data
    return body(kind, found, head={**HEAD, TIME: instant})


@pytest.mark.parametrize("rules", OFF)
@pytest.mark.parametrize("kind", [*DEBUG_VALID, "debug.nope", "debug."])
def test_while_debug_is_off_debug_operations_are_forbidden(rules, kind):
    for data in (DEBUG_VALID.get(kind, {}), {"time": "x"}):
        found = refusal(read(body(kind, data), rules))
        assert found == (403, "Debug operations are disabled", kind, "c")


@pytest.mark.parametrize("rules", ON)
@pytest.mark.parametrize("kind", DEBUG_VALID)
def test_while_debug_is_on_they_are_requests(rules, kind):
    request = read(body(kind, {**DEBUG_VALID[kind], "x": 1}), rules)
    assert type(request) is rq.DEBUG_KINDS[kind]
    assert request.head == rq.Head("c", "2026-04-01")


def test_while_debug_is_on_other_requests_are_read_and_checked_as_ever():
    for kind, data in VALID.items():
        assert read(body(kind, data), DEBUG) == read(body(kind, data))
    found = refusal(read(body("promise.get", {"id": ""}), DEBUG))
    assert found == (400, "Promise ID is required", "promise.get", "c")


def test_while_debug_is_on_there_are_unknown_kinds_still():
    found = refusal(read(body("debug.nope", {}), DEBUG))
    assert found == (400, "Unknown operation: debug.nope", "debug.nope", "c")


@pytest.mark.parametrize("rules", ON)
def test_the_version_is_looked_at_first(rules):
    sent = body("debug.tick", {"time": 5}, head={**HEAD, "version": "1", TIME: 6})
    assert refusal(read(sent, rules))[1].startswith("Unsupported protocol version '1'")


# --- the time of a tick ---------------------------------------------------------------------------


@pytest.mark.parametrize("rules", ON)
@pytest.mark.parametrize("time", ["5", 5.0, None, True, [], 2**63])
def test_a_tick_needs_an_instant(rules, time):
    for data in ({"time": time}, {}):
        assert refusal(read(body("debug.tick", data), rules)) == (400, NO_TIME, "debug.tick", "c")


@pytest.mark.parametrize("time", [0, 5, INT64_MAX])
def test_a_tick_is_told_its_instant(time):
    assert read(body("debug.tick", {"time": time}), DEBUG).data.time == time


def test_both_instants_of_a_tick_are_equal():
    assert read(at(5, "debug.tick"), DEBUG).head.debug_time == 5
    text = "resonate:debug_time must equal data.time"
    assert refusal(read(at(6, "debug.tick"), DEBUG)) == (400, text, "debug.tick", "c")


# --- the instant of any request -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["promise.get", "task.create", "schedule.create", "debug.snap"])
@pytest.mark.parametrize("instant", [0, 7, INT64_MAX, None])
def test_any_request_may_name_an_instant(kind, instant):
    assert read(at(instant, kind), DEBUG).head.debug_time == instant


@pytest.mark.parametrize("rules", ON)
@pytest.mark.parametrize("kind", ["promise.get", "debug.start"])
@pytest.mark.parametrize("instant", ["7", 7.0, True, -1, 2**63, [], {}])
def test_what_is_no_instant_is_refused(rules, kind, instant):
    text = "Invalid request envelope: `head.resonate:debug_time` must be an instant"
    assert refusal(read(at(instant, kind), rules)) == (400, text, kind, "c")


@pytest.mark.parametrize("rules", OFF)
@pytest.mark.parametrize("instant", ["never", 7.5, -1, {"a": []}, None])
def test_while_debug_is_off_it_is_an_unknown_field(rules, instant):
    assert type(read(at(instant), rules)) is rq.PromiseGet


def test_it_is_looked_at_before_the_rules_of_fields():
    assert refusal(read(at(-1, data={"id": ""}), DEBUG))[1].startswith("Invalid request envelope")


def test_a_debug_request_without_data_is_no_envelope():
    sent = json.dumps({"kind": "debug.start", "head": HEAD}).encode()
    assert refusal(read(sent, DEBUG))[1] == "Invalid request envelope: missing field `data`"
