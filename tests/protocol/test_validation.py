"""What the fields of a request may contain: the rules of section 2.5, by number."""

from __future__ import annotations

import pytest

from resonate.protocol.limits import INT64_MAX, INT64_MIN
from tests.protocol.bodies import ANY, VALID, changed, inner, promise, send

PROMISE_ID = "Promise ID is required"  # R1
TIMEOUT = "TimeoutAt must be a non-negative integer"  # R2
NUL = "Promise ID must not contain null bytes"  # R3
DELAY = "resonate:delay must be a non-negative integer"  # R4
DELAY_LATE = "resonate:delay must be less than timeoutAt"  # R4
TARGET = "Invalid resonate:target address"  # R5
AWAITED = "Awaited promise ID is required"  # R6
AWAITER = "Awaiter promise ID is required"  # R7
SELF = "Awaited and awaiter must be different promises"  # R8
ADDRESS = "Address is required"  # R9
LISTENER = "Invalid listener address"  # R10
TASK_ID = "Task ID is required"  # R13
PID = "Process ID is required"  # R14
TTL = "TTL must be a positive integer"  # R15
NO_TARGET = "Action must have a resonate:target tag"  # R16
VERSION = "Version must be a non-negative integer"  # R17
OTHER_ACTION = "Action ID must match the task ID"  # R18
NO_ACTIONS = "Actions array cannot be empty"  # R19
OTHER_AWAITER = "All action awaiter IDs must match the task ID"  # R20
OWN_ACTION = "Action ID must not equal the task ID"  # R21
FENCE_KIND = "Invalid fence action kind"  # R22
RELEASE_DELAY = "Delay must be a non-negative integer"  # section 8.5
RELEASE_DELAY_LONG = "Delay must not exceed 86400000"  # section 8.5


@pytest.mark.parametrize("kind", VALID)
def test_valid(kind):
    assert not isinstance(send(kind, VALID[kind]), str)


def tags(**named):
    return {f"resonate:{name}": value for name, value in named.items()}


INNER = "action__data__"
RULES = [
    ("R1", "promise.get", {"id": ""}, PROMISE_ID),
    ("R1", "promise.create", {"id": ""}, PROMISE_ID),
    ("R1", "promise.settle", {"id": ""}, PROMISE_ID),
    ("R1", "task.create", {INNER + "id": ""}, PROMISE_ID),
    ("R1", "task.fulfill", {INNER + "id": ""}, PROMISE_ID),
    ("R1", "task.fence", {INNER + "id": ""}, PROMISE_ID),
    ("R2", "promise.create", {"timeoutAt": -1}, TIMEOUT),
    ("R2", "promise.create", {"timeoutAt": INT64_MIN}, TIMEOUT),
    ("R2", "task.create", {INNER + "timeoutAt": -1}, TIMEOUT),
    ("R2", "task.fence", {INNER + "timeoutAt": -1}, TIMEOUT),
    ("R3", "promise.create", {"id": "a\x00"}, NUL),
    ("R3", "promise.create", {"id": "\x00"}, NUL),
    ("R3", "task.create", {INNER + "id": "a\x00b"}, NUL),
    ("R3", "task.fence", {INNER + "id": "a\x00b"}, NUL),
    *(
        ("R4", "promise.create", {"tags": tags(delay=delay)}, DELAY)
        for delay in (
            "",
            "-1",
            "+1",
            "1.0",
            "1e3",
            " 1",
            "1 ",
            "0x1",
            "1_0",
            "soon",
            "\u0661",
            "\u00b2",
        )
    ),
    *(
        ("R4", "promise.create", {"tags": tags(delay=delay)}, DELAY_LATE)
        for delay in ("100", "101", "000100", "9" * 19, "1" + "0" * 19, "9" * 5_000)
    ),
    ("R4", "promise.create", {"timeoutAt": 0, "tags": tags(delay="0")}, DELAY_LATE),
    ("R4", "task.create", {INNER + "tags": tags(target=ANY, delay="x")}, DELAY),
    ("R4", "task.create", {INNER + "tags": tags(target=ANY, delay="100")}, DELAY_LATE),
    ("R4", "task.fence", {INNER + "tags": tags(delay="x")}, DELAY),
    ("R5", "promise.create", {"tags": tags(target="")}, TARGET),
    ("R5", "promise.create", {"tags": tags(target="g")}, TARGET),
    ("R5", "promise.create", {"tags": tags(target="poll://uni@g")}, TARGET),
    ("R5", "task.create", {INNER + "tags": tags(target="")}, TARGET),
    ("R5", "task.fence", {INNER + "tags": tags(target="gcps://x")}, TARGET),
    ("R6", "promise.register_callback", {"awaited": ""}, AWAITED),
    ("R6", "promise.register_listener", {"awaited": ""}, AWAITED),
    ("R6", "task.suspend", {"actions__0__data__awaited": ""}, AWAITED),
    ("R7", "promise.register_callback", {"awaiter": ""}, AWAITER),
    ("R7", "task.suspend", {"actions__0__data__awaiter": ""}, AWAITER),
    ("R8", "promise.register_callback", {"awaited": "a", "awaiter": "a"}, SELF),
    ("R8", "task.suspend", {"actions__0__data__awaited": "t"}, SELF),
    ("R9", "promise.register_listener", {"address": ""}, ADDRESS),
    ("R10", "promise.register_listener", {"address": "here"}, LISTENER),
    ("R10", "promise.register_listener", {"address": "poll://uni@g"}, LISTENER),
    *(
        ("R13", kind, {"id": ""}, TASK_ID)
        for kind in (
            "task.get",
            "task.halt",
            "task.continue",
            "task.acquire",
            "task.release",
            "task.fence",
        )
    ),
    ("R13", "task.fulfill", {"id": "", INNER + "id": "t"}, TASK_ID),
    ("R13", "task.suspend", {"id": ""}, TASK_ID),
    ("R14", "task.create", {"pid": ""}, PID),
    ("R14", "task.acquire", {"pid": ""}, PID),
    ("R14", "task.heartbeat", {"pid": ""}, PID),
    *(
        ("R15", kind, {"ttl": ttl}, TTL)
        for kind in ("task.create", "task.acquire")
        for ttl in (0, -1, INT64_MIN)
    ),
    ("R16", "task.create", {INNER + "tags": {}}, NO_TARGET),
    ("R16", "task.create", {INNER + "tags": None}, NO_TARGET),
    ("R16", "task.create", {INNER + "tags": tags(timer="true")}, NO_TARGET),
    *(
        ("R17", kind, {"version": -1}, VERSION)
        for kind in ("task.acquire", "task.release", "task.fulfill", "task.suspend", "task.fence")
    ),
    ("R18", "task.fulfill", {INNER + "id": "other"}, OTHER_ACTION),
    ("R19", "task.suspend", {"actions": []}, NO_ACTIONS),
    ("R20", "task.suspend", {"actions__0__data__awaiter": "other"}, OTHER_AWAITER),
    (
        "R20",
        "task.suspend",
        {"actions": [inner(awaited="a", awaiter="t"), inner(awaited="b", awaiter="c")]},
        OTHER_AWAITER,
    ),
    ("R21", "task.fence", {INNER + "id": "t"}, OWN_ACTION),
    ("R22", "task.fence", {"action__kind": "promise.get"}, FENCE_KIND),
    ("R22", "task.fence", {"action__kind": "task.create"}, FENCE_KIND),
    ("R22", "task.fence", {"action__kind": ""}, FENCE_KIND),
    ("8.5", "task.release", {"delay": -1}, RELEASE_DELAY),
    ("8.5", "task.release", {"delay": 86_400_001}, RELEASE_DELAY_LONG),
    ("8.5", "task.release", {"delay": INT64_MAX}, RELEASE_DELAY_LONG),
]


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        pytest.param(*rest, id=f"{rule}-{rest[0]}-{number}")
        for number, (rule, *rest) in enumerate(RULES)
    ],
)
def test_refused(kind, changes, text):
    assert send(kind, changed(kind, **changes)) == text


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("promise.get", {"id": "\x00"}),  # R3 is for creating only
        ("promise.create", {"timeoutAt": 0}),
        ("promise.create", {"timeoutAt": INT64_MAX}),
        ("promise.create", {"tags": tags(delay="99")}),
        ("promise.create", {"tags": tags(delay="0" * 5_000 + "99")}),
        ("promise.create", {"timeoutAt": INT64_MAX, "tags": tags(delay=str(INT64_MAX - 1))}),
        ("promise.create", {"tags": tags(timer="true", target=ANY)}),
        ("promise.create", {"tags": tags(delay="5")}),
        ("promise.register_callback", {"awaited": "A", "awaiter": "a"}),
        ("promise.register_listener", {"address": "HTTP://h"}),
        ("task.create", {INNER + "tags": tags(target=ANY, delay="5")}),
        ("task.create", {INNER + "tags": tags(target=ANY, timer="true")}),
        ("task.create", {"ttl": INT64_MAX}),
        ("task.acquire", {"version": INT64_MAX, "ttl": INT64_MAX}),
        ("task.release", {"delay": 86_400_000}),
        ("task.release", {"delay": None}),
        ("task.heartbeat", {"tasks": []}),
        ("task.heartbeat", {"tasks": [{"id": "", "version": -1}]}),  # lost, not refused
        ("task.suspend", {"actions": [inner(awaited="a", awaiter="t")] * 2}),
    ],
)
def test_accepted(kind, changes):
    assert not isinstance(send(kind, changed(kind, **changes)), str)


# --- order and joining ----------------------------------------------------------------------------


def joined(*texts):
    return "; ".join(texts)


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("promise.create", {"id": "", "timeoutAt": -1}, joined(PROMISE_ID, TIMEOUT)),
        ("promise.create", {"id": "", "timeoutAt": 0}, PROMISE_ID),
        ("promise.register_callback", {"awaited": "", "awaiter": ""}, joined(AWAITED, AWAITER)),
        ("promise.register_listener", {"awaited": "", "address": ""}, joined(AWAITED, ADDRESS)),
        (
            "task.acquire",
            {"id": "", "version": -1, "pid": "", "ttl": 0},
            joined(TASK_ID, VERSION, PID, TTL),
        ),
        ("task.acquire", {"version": -1, "ttl": 0}, joined(VERSION, TTL)),
        (
            "task.release",
            {"id": "", "version": -1, "delay": -1},
            joined(TASK_ID, VERSION, RELEASE_DELAY),
        ),
        (
            "task.fulfill",
            {"id": "", "version": -1, INNER + "id": ""},
            joined(TASK_ID, VERSION, PROMISE_ID),
        ),
        ("task.fence", {"id": "", "version": -1}, joined(TASK_ID, VERSION)),
        ("task.fence", {INNER + "id": "", INNER + "timeoutAt": -1}, joined(PROMISE_ID, TIMEOUT)),
        (
            "task.suspend",
            {"id": "", "version": -1, "actions": []},
            joined(TASK_ID, VERSION, NO_ACTIONS),
        ),
        (
            "task.create",
            {"pid": "", "ttl": 0, INNER + "id": "", INNER + "timeoutAt": -1},
            joined(PID, TTL, PROMISE_ID, TIMEOUT),
        ),
        (
            "task.create",
            {"ttl": 0, INNER + "id": "\x00", INNER + "tags": tags(delay="x")},
            joined(TTL, NUL, DELAY),
        ),
        (
            "task.create",
            {INNER + "id": "\x00", INNER + "tags": tags(delay="100")},
            joined(NUL, DELAY_LATE),
        ),
        (
            "task.create",
            {INNER + "timeoutAt": -1, INNER + "tags": tags(delay="0")},
            joined(TIMEOUT, DELAY_LATE),
        ),
        (
            "task.suspend",
            {
                "actions": [
                    inner(awaited="", awaiter=""),
                    inner(awaited="", awaiter="x"),
                    inner(awaited="y", awaiter="y"),
                ]
            },
            joined(AWAITED, AWAITER, SELF),
        ),
    ],
)
def test_all_failing_field_rules_are_told_once_in_the_order_of_the_fields(kind, changes, text):
    assert send(kind, changed(kind, **changes)) == text


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        # check 9 before check 10
        ("promise.create", {"timeoutAt": -1, "tags": tags(delay="x")}, TIMEOUT),
        ("promise.register_callback", {"awaited": "", "awaiter": ""}, joined(AWAITED, AWAITER)),
        ("task.create", {"pid": "", INNER + "tags": {}}, PID),
        ("task.fulfill", {"version": -1, INNER + "id": "other"}, VERSION),
        ("task.suspend", {"version": -1, "actions__0__data__awaiter": "other"}, VERSION),
        ("task.fence", {"version": -1, INNER + "id": "t"}, VERSION),
        ("task.fence", {"version": -1, "action__kind": "x"}, VERSION),
        ("task.release", {"id": "", "delay": 86_400_001}, TASK_ID),
        # of check 10 the first
        ("promise.create", {"id": "\x00", "tags": tags(delay="x")}, NUL),
        # check 10 before check 11
        ("promise.create", {"id": "\x00", "tags": tags(target="")}, NUL),
        ("promise.create", {"tags": tags(delay="x", target="")}, DELAY),
        ("task.fence", {INNER + "id": "t", "action__kind": "x"}, OWN_ACTION),
        ("task.fence", {INNER + "id": "t", INNER + "timeoutAt": "x"}, OWN_ACTION),
        ("task.fence", {INNER + "id": "t", INNER + "timeoutAt": -1}, OWN_ACTION),
        # check 9 before check 11
        ("promise.register_listener", {"awaited": "", "address": "here"}, AWAITED),
        # in check 11 of a fence the kind comes first
        ("task.fence", {"action__kind": "x", INNER + "id": ""}, FENCE_KIND),
        ("task.fence", {"action__kind": "x", INNER + "timeoutAt": "x"}, FENCE_KIND),
        # addresses before limits
        ("promise.create", {"id": "p" * 5_000, "tags": tags(target="")}, TARGET),
        ("promise.register_listener", {"awaited": "p" * 5_000, "address": "here"}, LISTENER),
    ],
)
def test_the_first_failing_check_answers(kind, changes, text):
    assert send(kind, changed(kind, **changes)) == text


# --- limits ---------------------------------------------------------------------------------------

LONG = "Invalid request: id too long"
IDS = [
    ("promise.get", "id"),
    ("promise.create", "id"),
    ("promise.settle", "id"),
    ("promise.register_callback", "awaited"),
    ("promise.register_callback", "awaiter"),
    ("promise.register_listener", "awaited"),
    ("task.get", "id"),
    ("task.halt", "id"),
    ("task.continue", "id"),
    ("task.acquire", "id"),
    ("task.acquire", "pid"),
    ("task.create", "pid"),
    ("task.heartbeat", "pid"),
    ("task.heartbeat", "tasks__0__id"),
    ("task.release", "id"),
    ("task.create", INNER + "id"),
    ("task.fence", "id"),
    ("task.fence", INNER + "id"),
    ("task.suspend", "actions__0__data__awaited"),
]


@pytest.mark.parametrize(("kind", "field"), IDS)
@pytest.mark.parametrize(
    ("unit", "fits"),
    [("a", 4_096), ("é", 2_048), ("€", 1_365), ("\U0001f600", 1_024)],
    ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"],
)
def test_an_id_has_at_most_4096_bytes(kind, field, unit, fits):
    assert not isinstance(send(kind, changed(kind, **{field: unit * fits})), str)
    assert send(kind, changed(kind, **{field: unit * (fits + 1)})) == LONG


@pytest.mark.parametrize("kind", ["task.fulfill", "task.suspend"])
def test_the_id_of_a_task_that_is_named_twice_has_at_most_4096_bytes(kind):
    other = INNER + "id" if kind == "task.fulfill" else "actions__0__data__awaiter"
    for size, refused in ((4_096, False), (4_097, True)):
        task_id = "t" * size
        assert (send(kind, changed(kind, id=task_id, **{other: task_id})) == LONG) == refused


def test_a_fence_that_settles_looks_at_its_ids_too():
    def settle(promise_id):
        return {
            "action": {"kind": "promise.settle", "data": {"id": promise_id, "state": "resolved"}}
        }

    assert not isinstance(send("task.fence", changed("task.fence", **settle("c"))), str)
    assert send("task.fence", changed("task.fence", **settle(""))) == PROMISE_ID
    assert send("task.fence", changed("task.fence", **settle("t"))) == OWN_ACTION
    assert send("task.fence", changed("task.fence", **settle("c" * 4_097))) == LONG


def test_an_address_is_as_long_as_an_id_at_most():
    address = "http://h/" + "x" * 4_087
    assert not isinstance(
        send("promise.register_listener", {"awaited": "a", "address": address}), str
    )
    assert send("promise.register_listener", {"awaited": "a", "address": address + "x"}) == LONG


@pytest.mark.parametrize("kind", ["promise.create", "task.create", "task.fence"])
def test_a_promise_has_at_most_256_tags(kind):
    field = "tags" if kind == "promise.create" else INNER + "tags"
    many = {"resonate:target": ANY, **{f"t{number}": "" for number in range(255)}}
    assert not isinstance(send(kind, changed(kind, **{field: many})), str)
    assert (
        send(kind, changed(kind, **{field: {**many, "one": ""}}))
        == "Invalid request: too many tags"
    )


@pytest.mark.parametrize("unit", ["a", "é", "€", "\U0001f600"])
def test_tags_have_at_most_64_kib_together(unit):
    size = len(unit.encode())
    fits = {"k" + unit: "", "v": unit * ((65_536 - 2 - size) // size)}
    assert not isinstance(send("promise.create", promise(tags=fits)), str)
    assert (
        send("promise.create", promise(tags={**fits, "abcd": ""}))
        == "Invalid request: tags too large"
    )
