"""The shape of data (check 8 of section 1.4): what is missing, of a wrong type, or null."""

from __future__ import annotations

import pytest

from resonate.protocol import requests as rq
from resonate.protocol.envelope import read
from tests.protocol.bodies import GONE, SEARCHES, VALID, body, changed, refusal


@pytest.mark.parametrize("kind", [kind for kind in VALID if kind not in SEARCHES])
def test_check_8_comes_before_the_rules_of_fields(kind):
    some = {name: "" if isinstance(value, str) else "x" for name, value in VALID[kind].items()}
    missing = {name: value for name, value in some.items() if name != next(iter(some))}
    for data in (missing, {}):
        status, text, *echoed = refusal(read(body(kind, data)))
        assert (status, *echoed) == (400, kind, "c")
        assert text.startswith("Invalid request: ")


SEARCHED = {
    "state": ["", "acquired!", 1, []],
    "tags": [[], "", {"a": 1}, {"a": None}],
    "limit": ["1", 1.0, True, 2**63],
    "cursor": [1, [], {}],
    "idPrefix": [1, []],
    "rootOnly": [0, "true"],
    "order": [1, []],
    "counts": [1, "false"],
    **{key: ["1", 1.5, False] for key in ("createdFrom", "createdTo", "settledFrom", "settledTo")},
}
OF_ONE_KIND = {  # what other searches take for an unknown field, and ignore
    "task.search": ("state", "limit", "cursor", "idPrefix", "counts"),
    "schedule.search": ("tags", "limit", "cursor", "idPrefix"),
}


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("field", SEARCHED)
def test_check_8_every_field_of_a_search_has_a_type(kind, field):
    known = field in OF_ONE_KIND.get(kind, SEARCHED)
    for value in SEARCHED[field]:
        found = read(body(kind, {field: value}))
        if known:
            assert refusal(found)[1].startswith("Invalid request: ")
        else:
            assert isinstance(found, rq.KINDS[kind])


def test_check_8_a_state_that_is_searched_for_is_one_of_a_promise_or_of_a_task():
    for kind, state in (("promise.search", "acquired"), ("task.search", "resolved")):
        assert refusal(read(body(kind, {"state": state})))[1].startswith("Invalid request: ")
    for kind, state in (("promise.search", "rejected_timedout"), ("task.search", "halted")):
        assert read(body(kind, {"state": state})).data.state == state


NUMBERS = [
    ("promise.create", "timeoutAt"),
    ("task.create", "ttl"),
    ("task.create", "action__data__timeoutAt"),
    ("task.acquire", "version"),
    ("task.acquire", "ttl"),
    ("task.release", "version"),
    ("task.release", "delay"),
    ("task.fulfill", "version"),
    ("task.suspend", "version"),
    ("task.fence", "version"),
    ("task.heartbeat", "tasks__0__version"),
    ("schedule.create", "promiseTimeout"),
    ("promise.search", "limit"),
    ("promise.search", "settledTo"),
]
OPTIONAL = {"delay", "limit", "settledTo"}
WRONG_NUMBERS = [
    "1.0",
    "1e3",
    "1E0",
    "-0.0",
    "1.5",
    "true",
    "false",
    '"1"',
    "[]",
    "{}",
    "9223372036854775808",
    "-9223372036854775809",
    "1" + "0" * 400,
]


@pytest.mark.parametrize(("kind", "field"), NUMBERS)
@pytest.mark.parametrize("number", [*WRONG_NUMBERS, "null"])
def test_check_8_an_integer_is_a_json_integer_of_64_bits(kind, field, number):
    if field in OPTIONAL and number == "null":
        return
    sent = body(kind, changed(kind, **{field: "NUMBER"})).replace(b'"NUMBER"', number.encode())
    status, text, *echoed = refusal(read(sent))
    assert (status, *echoed) == (400, kind, "c")
    assert text.startswith("Invalid request: ")


@pytest.mark.parametrize("number", ["1" + "0" * 5_000, "1e400", "-1e400"])
def test_a_number_that_nothing_can_hold_is_refused(number):
    sent = body("promise.create", changed("promise.create", timeoutAt="NUMBER"))
    status, text, *_ = refusal(read(sent.replace(b'"NUMBER"', number.encode())))
    assert status == 400
    assert text.startswith("Invalid request")


@pytest.mark.parametrize(("number", "value"), [("-0", 0), ("9223372036854775807", 2**63 - 1)])
def test_the_edges_of_64_bits_are_integers(number, value):
    sent = body("promise.create", changed("promise.create", timeoutAt="NUMBER"))
    assert read(sent.replace(b'"NUMBER"', number.encode())).data.timeout_at == value


@pytest.mark.parametrize("state", ["pending", "rejected_timedout", "RESOLVED", "", None, 1])
def test_check_8_a_state_is_one_that_a_client_may_settle_to(state):
    for kind, field in (("promise.settle", "state"), ("task.fulfill", "action__data__state")):
        _, text, *_ = refusal(read(body(kind, changed(kind, **{field: state}))))
        assert text.startswith("Invalid request: ")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"id": GONE}, "Invalid request: "),
        ({"action": GONE}, "Invalid request: "),
        ({"action": []}, "Invalid request: "),
        ({"action__data": GONE}, "Invalid request: "),
        ({"action__kind": GONE}, "Invalid request: "),
        ({"action__kind": 5}, "Invalid request: "),
        ({"action__data": []}, "Invalid action data: "),
        ({"action__data": None}, "Invalid action data: "),
        ({"action__data__id": GONE}, "Invalid action data: "),
        ({"action__data__id": 5}, "Invalid action data: "),
        ({"action__data__timeoutAt": 1.0}, "Invalid action data: "),
        ({"action__data__tags": {"a": 1}}, "Invalid action data: "),
        ({"action__kind": "promise.settle"}, "Invalid action data: "),  # it has no state
    ],
)
def test_r22_the_shape_of_the_action_of_a_fence(changes, text):
    status, found, *echoed = refusal(read(body("task.fence", changed("task.fence", **changes))))
    assert (status, *echoed) == (400, "task.fence", "c")
    assert found.startswith(text)


# --- null ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("promise.create", "param"),
        ("promise.create", "tags"),
        ("promise.settle", "value"),
        ("task.release", "delay"),
        ("task.create", "action__data__param"),
        ("task.create", "action__kind"),
        ("task.create", "action__head"),
        ("task.fence", "action__head"),
        ("task.fence", "action__data__tags"),
        ("task.fulfill", "action__data__value"),
        ("task.suspend", "actions__0__kind"),
        ("task.suspend", "actions__0__head"),
        ("schedule.create", "promiseParam"),
        ("schedule.create", "promiseTags"),
        *(("promise.search", field) for field in SEARCHED),
        *((kind, field) for kind, fields in OF_ONE_KIND.items() for field in fields),
    ],
)
def test_null_for_an_optional_field_is_the_same_as_leaving_it_out(kind, field):
    null, absent = (read(body(kind, changed(kind, **{field: value}))) for value in (None, GONE))
    assert null == absent
    assert isinstance(null, rq.KINDS[kind])


def test_null_inside_a_value_is_the_same_as_leaving_it_out():
    null = read(
        body("promise.create", changed("promise.create", param={"headers": None, "data": None}))
    )
    assert null == read(body("promise.create", VALID["promise.create"]))
