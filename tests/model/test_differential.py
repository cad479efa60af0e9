"""The server answers and stores what the model says, on random walks.

A failure prints seed, step, request and both answers, and the few steps that show it again.
``MODEL_WALKS`` asks for more walks; ``python -m tests.model.differential --help`` for long runs.
"""

from __future__ import annotations

import os

import pytest

from tests.model.differential import Mismatch, check, run, same, shrink, step_of
from tests.model.sequences import Step

WALKS = int(os.environ.get("MODEL_WALKS", "10"))
STEPS = 200


@pytest.mark.timeout(60 + 10 * WALKS)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_the_server_answers_and_stores_what_the_model_says(store, strict):
    for seed in range(WALKS):
        report = check(seed, STEPS, store, strict=strict, lazy=seed % 2 == 0)
        assert report is None, report


# ------------------------------------------------------------- what walks have found, by its rule

TARGET = {"resonate:target": "poll://any@g"}
TIMER = {**TARGET, "resonate:timer": "true"}
MATE = {**TARGET, "resonate:branch": "b"}
LENIENT, STRICT, BOTH = [False], [True], [False, True]


def born(now: int, promise_id: str, tags: dict[str, str], timeout_at: int = 10**9):
    return (now, "promise.create", {"id": promise_id, "timeoutAt": timeout_at, "tags": tags})


def held(now: int, promise_id: str, tags: dict[str, str], timeout_at: int = 10**9):
    inner = {"id": promise_id, "timeoutAt": timeout_at, "tags": tags}
    action = {"kind": "promise.create", "head": {}, "data": inner}
    return (now, "task.create", {"pid": "p", "ttl": 1000, "action": action})


def acquired(now: int, task_id: str):
    return (now, "task.acquire", {"id": task_id, "version": 0, "pid": "p", "ttl": 1000})


def fenced(now: int, action: dict[str, object]):
    return (now, "task.fence", {"id": "t", "version": 1, "action": action})


def listened(now: int, address: str = "http://h"):
    return (now, "promise.register_listener", {"awaited": "a", "address": address})


CALLBACK = (1, "promise.register_callback", {"awaited": "a", "awaiter": "w"})
BEAT = (200, "task.heartbeat", {"pid": "p", "tasks": []})
FOUND = {
    "an_internal_promise_times_out_by_projection_only": (
        STRICT,
        [born(1, "a", {}, 100), (200, "debug.tick", {"time": 200})],
    ),
    "a_task_born_acquired_comes_with_its_preload": (
        BOTH,
        [born(1, "a", MATE), held(1, "t", MATE)],
    ),
    "a_released_timer_is_not_dispatched_until_its_deadline": (
        LENIENT,
        [held(1, "t", TIMER), (2, "task.release", {"id": "t", "version": 1})],
    ),
    "an_expired_timer_is_not_dispatched_until_its_deadline": (
        LENIENT,
        [held(1, "t", TIMER), (2000, "debug.tick", {"time": 2000})],
    ),
    "an_empty_heartbeat_has_sent_nothing_that_could_be_lost": (
        LENIENT,
        [held(1, "t", TARGET, 100), BEAT],
    ),
    "an_empty_heartbeat_writes_no_deadline": (
        LENIENT,
        [held(1, "a", TARGET, 100), held(1, "w", TARGET), CALLBACK, BEAT],
    ),
    "a_task_of_the_same_branch_is_not_dispatched_by_an_acquire": (
        BOTH,
        [born(1, "m", MATE), born(1, "t", MATE), acquired(9000, "t")],
    ),
    "registering_again_supersedes_also_before_the_deadline_is_written": (
        LENIENT,
        [born(1, "a", {}, 100), listened(1), listened(1, "http://x"), listened(200)],
    ),
    "an_empty_order_is_no_order": (LENIENT, [(1, "promise.search", {"order": ""})]),
    "a_heartbeat_limits_the_ids_it_names": (
        BOTH,
        [(1, "task.heartbeat", {"pid": "p", "tasks": [{"id": "x" * 4097, "version": 0}]})],
    ),
    "strict_mode_knows_no_delay_of_a_release": (
        STRICT,
        [held(1, "t", TARGET), (2, "task.release", {"id": "t", "version": 1, "delay": -1})],
    ),
    "strict_mode_knows_no_delay_of_any_type": (
        STRICT,
        [held(1, "t", TARGET), (2, "task.release", {"id": "t", "version": 1, "delay": "x"})],
    ),
    "strict_mode_knows_no_extended_searches": (
        STRICT,
        [(1, "promise.search", {"order": "x"}), (1, "task.search", {"idPrefix": 1})],
    ),
    "strict_mode_ignores_unknown_fields_that_are_null": (
        STRICT,
        [(1, "promise.get", {"id": "a", "tags": None})],
    ),
    "strict_mode_looks_for_a_head_before_it_looks_at_the_kind": (
        STRICT,
        [fenced(1, {"kind": "promise.get", "data": {"id": "a"}})],
    ),
}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("name", FOUND)
def test_what_walks_have_found(name, store):
    modes, requests = FOUND[name]
    steps = [step_of(0, "debug.start", {}), *(step_of(*each) for each in requests)]
    for strict in modes:
        found = run(steps, store, strict=strict)
        assert found is None, found.show()


# ----------------------------------------------------------------------- the comparison bites


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        ("Invalid request: *", "Invalid request: missing field", True),
        ("Invalid request: *", "Invalid request: id too long", False),
        ("Promise not found", "Promise not found.", False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": [1]}, {"a": [True]}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ((200, {}), (300, {}), False),
        ({"param": {"headers": {}}}, {"param": {}}, True),
        ({"param": {"headers": {"h": ""}}}, {"param": {}}, False),
        ({"headers": {}, "id": 1}, {"id": 1}, False),
    ],
)
def test_answers_are_the_same_when_their_json_is(expected, actual, equal):
    assert same(expected, actual) is equal


def test_a_failing_sequence_is_cut_down_to_what_it_needs():
    steps = [Step(0, "start"), *(Step(number, "x") for number in range(40)), Step(50, "end")]
    needed = {7, 23}

    def fails(some):
        if needed <= {step.now for step in some}:
            return Mismatch(len(some) - 1, some[-1], None, None)
        return None

    fewer, _ = shrink(steps, fails)
    assert [step.now for step in fewer] == [0, 7, 23]
