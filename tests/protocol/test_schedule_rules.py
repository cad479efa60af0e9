"""What requests about schedules, and searches, may contain: R11, R12 and R23 to R27, and ours."""

from __future__ import annotations

import pytest

from resonate.protocol.cursors import encode_cursor
from resonate.protocol.limits import INT64_MAX, INT64_MIN
from tests.protocol.bodies import ANY, SEARCHES, changed, send

LIMIT = "Limit must be a positive integer"  # R11
LIMIT_RANGE = "Invalid 'limit' — must be between 1 and 1000"  # R12
SCHEDULE_ID = "Schedule ID is required"  # R23
CRON = "Cron expression is required"  # R24
TEMPLATE = "Promise ID template is required"  # R25
TIMEOUT = "Promise timeout must be a non-negative integer"  # R26
CRON_INVALID = "Invalid cron expression"  # R27
TARGET = "Invalid resonate:target address"  # R5
DELAY = "resonate:delay must be a non-negative integer"  # R4, its first half
SCHEDULE_NUL = "Schedule ID must not contain null bytes"  # ours
PROMISE_NUL = "Promise ID must not contain null bytes"  # ours
LONG = "Invalid request: id too long"
ORDER = "Invalid 'order' — must be one of id, newest, oldest"  # section 8.6
CURSOR = "Invalid cursor"  # section 8.6


def create(**changes):
    return send("schedule.create", changed("schedule.create", **changes))


def tags(**named):
    return {f"resonate:{name}": value for name, value in named.items()}


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["schedule.get", "schedule.delete", "schedule.create"])
def test_r23_a_schedule_has_an_id(kind):
    assert send(kind, changed(kind, id="")) == SCHEDULE_ID


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cron": ""}, CRON),
        ({"promiseId": ""}, TEMPLATE),
        ({"promiseTimeout": -1}, TIMEOUT),
        ({"promiseTimeout": INT64_MIN}, TIMEOUT),
        ({"promiseTags": tags(target="")}, TARGET),
        ({"promiseTags": tags(target="poll://uni@g")}, TARGET),
        *(
            ({"promiseTags": tags(delay=each)}, DELAY)
            for each in ("", "-1", "1.0", "soon", "\u0661")
        ),
        ({"id": "a\x00"}, SCHEDULE_NUL),
        ({"promiseId": "a\x00{{.timestamp}}"}, PROMISE_NUL),
        *(
            ({"cron": each}, CRON_INVALID)
            for each in ("x", "* * * *", "0 0 * * 0", "0 0 30 2 *", "@never", " ", "60 * * * *")
        ),
        ({"cron": "* " * 600 + "*"}, CRON_INVALID),
        (
            {"promiseTags": {f"t{each}": "" for each in range(257)}},
            "Invalid request: too many tags",
        ),
        ({"promiseTags": {"t": "x" * 65_536}}, "Invalid request: tags too large"),
    ],
)
def test_refused(changes, text):
    assert create(**changes) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "a.b"},
        {"promiseTimeout": 0},
        {"promiseTimeout": INT64_MAX},
        {"promiseId": "always the same"},
        {"promiseTags": {}},
        {"promiseTags": tags(timer="true", target=ANY)},
        {"promiseTags": tags(delay="0")},
        {"promiseTags": tags(delay="9" * 5_000)},  # its deadlines move on
        {"cron": "@yearly"},
        {"cron": "0 0 0 1 1 ? 1970"},  # whether that is past, only the clock can tell
    ],
)
def test_accepted(changes):
    assert not isinstance(create(**changes), str)


@pytest.mark.parametrize("kind", ["schedule.get", "schedule.delete"])
def test_a_null_byte_only_finds_nothing(kind):
    assert not isinstance(send(kind, {"id": "a\x00"}), str)


def test_all_failing_field_rules_are_told_in_the_order_of_the_fields():
    text = f"{SCHEDULE_ID}; {CRON}; {TEMPLATE}; {TIMEOUT}"
    assert create(id="", cron="", promiseId="", promiseTimeout=-1) == text
    assert create(id="", promiseTimeout=-1) == f"{SCHEDULE_ID}; {TIMEOUT}"
    assert create(cron="", promiseId="") == f"{CRON}; {TEMPLATE}"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"promiseTimeout": -1, "cron": "x", "id": "\x00"}, TIMEOUT),
        ({"id": "\x00", "promiseId": "\x00"}, SCHEDULE_NUL),
        ({"promiseId": "\x00", "promiseTags": tags(delay="x")}, PROMISE_NUL),
        ({"promiseTags": tags(delay="x", target="")}, DELAY),
        ({"promiseTags": tags(target=""), "id": "s" * 4_097}, TARGET),
        ({"id": "s" * 4_097, "cron": "x"}, LONG),
    ],
)
def test_the_first_failing_check_answers(changes, text):
    assert create(**changes) == text


@pytest.mark.parametrize("kind", ["schedule.get", "schedule.delete"])
def test_the_id_of_a_schedule_has_at_most_4096_bytes(kind):
    assert not isinstance(send(kind, {"id": "é" * 2_048}), str)
    assert send(kind, {"id": "é" * 2_048 + "e"}) == LONG


@pytest.mark.parametrize(
    ("schedule_id", "template", "fits"),
    [
        ("s" * 4_096, "x", True),
        ("s" * 4_097, "x", False),
        ("s", "x" * 4_096, True),
        ("s", "x" * 4_097, False),
        ("s", "x" * 4_077 + "{{.timestamp}}", True),  # an instant has up to 19 digits
        ("s", "x" * 4_078 + "{{.timestamp}}", False),
        ("s" * 2_048, "{{.id}}{{.id}}", True),
        ("s" * 2_048, "{{.id}}{{.id}}x", False),
        ("s" * 4_096, "{{.id}}" * 585, False),
        ("é" * 2_048, "{{.id}}", True),
        ("é" * 2_048, "{{.id}}.", False),
    ],
)
def test_what_it_fires_has_at_most_4096_bytes_at_any_instant(schedule_id, template, fits):
    assert (create(id=schedule_id, promiseId=template) == LONG) != fits


# --- searches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize(
    ("limit", "text"),
    [(0, LIMIT), (-1, LIMIT), (INT64_MIN, LIMIT), (1_001, LIMIT_RANGE), (INT64_MAX, LIMIT_RANGE)],
)
def test_r11_and_r12_a_page_has_1_to_1000_objects(kind, limit, text):
    assert send(kind, {"limit": limit}) == text
    for fits in (1, 1_000, None):
        assert send(kind, {"limit": fits}).data.limit == fits


@pytest.mark.parametrize("kind", SEARCHES)
def test_of_a_search_nothing_is_required_and_any_cursor_is_one_in_order_of_id(kind):
    assert not isinstance(send(kind, {}), str)
    assert send(kind, {"cursor": "never an id \x00"}).data.cursor == "never an id \x00"


@pytest.mark.parametrize("order", ["id", "newest", "oldest", None])
def test_8_6_the_orders(order):
    assert send("promise.search", {"order": order}).data.order == order


@pytest.mark.parametrize("order", ["", "ID", "newest ", "createdAt"])
def test_8_6_an_unknown_order_is_refused(order):
    assert send("promise.search", {"order": order, "cursor": "?"}) == ORDER
    assert send("promise.search", {"order": order, "limit": 1_001}) == LIMIT_RANGE


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_8_6_in_order_of_age_a_cursor_must_be_readable(order):
    assert send("promise.search", {"order": order, "cursor": "?"}) == CURSOR
    assert send("promise.search", {"order": order, "cursor": ""}) == CURSOR
    cursor = encode_cursor(7, "p")
    assert send("promise.search", {"order": order, "cursor": cursor}).data.cursor == cursor
    for by_id in ("id", None):
        assert not isinstance(send("promise.search", {"order": by_id, "cursor": "?"}), str)
