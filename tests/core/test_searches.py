"""Searches: what matches, and in which order it is told (sections 5.2 and 8.6)."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from resonate.core import searches
from resonate.core.objects import project
from resonate.protocol import requests as rq
from resonate.protocol.cursors import encode_cursor
from resonate.protocol.limits import INT64_MAX, INT64_MIN
from tests.core.examples import (
    acquired,
    fulfilled,
    halted,
    pending,
    plain,
    resolved,
    schedule,
    suspended,
    tasked,
)
from tests.core.world import ANY, DEADLINE, NOW, World, lease, schedule_data

LATER = NOW + 1
UNICODE = ["a", "a\x01", "ab", "é", "\u2028", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]


def named(*ids, base=plain):
    return [replace(base, id=each) for each in ids]


def promises(found, now=NOW, **query):
    return [each.id for each in searches.promises(found, rq.PromiseSearchData(**query), now)]


def tasks(found, now=NOW, **query):
    return [each.id for each in searches.tasks(found, rq.TaskSearchData(**query), now)]


def schedules(found, **query):
    return [each.id for each in searches.schedules(found, rq.ScheduleSearchData(**query))]


# --- by id ----------------------------------------------------------------------------------------


def test_pages_are_in_the_order_of_the_bytes_of_ids():
    assert sorted(UNICODE, key=str.encode) == UNICODE
    shuffled = Random(1).sample(UNICODE, len(UNICODE))
    assert promises(named(*shuffled)) == UNICODE
    assert tasks(named(*shuffled, base=tasked(pending))) == UNICODE
    assert schedules([replace(schedule, id=each) for each in shuffled]) == UNICODE


@pytest.mark.parametrize(
    ("cursor", "found"),
    [(None, "abc"), ("", "abc"), ("a", "bc"), ("aa", "bc"), ("c", ""), ("\U0010ffff", "")],
)
def test_a_page_begins_behind_its_cursor_which_need_not_be_there(cursor, found):
    assert promises(named("c", "a", "b"), cursor=cursor) == list(found)
    assert promises(named("c", "a", "b"), cursor=cursor, order="id") == list(found)
    assert tasks(named("c", "a", "b", base=tasked(pending)), cursor=cursor) == list(found)
    assert schedules([replace(schedule, id=each) for each in "cab"], cursor=cursor) == list(found)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (None, ["a", "a:1", "ab", "b"]),
        ("", ["a", "a:1", "ab", "b"]),
        ("a", ["a", "a:1", "ab"]),
        ("a:", ["a:1"]),
        ("A", []),
    ],
)
def test_8_6_an_id_begins_with_a_prefix(prefix, found):
    ids = ["a", "a:1", "ab", "b"]
    assert promises(named(*ids), id_prefix=prefix) == found
    assert tasks(named(*ids, base=tasked(pending)), id_prefix=prefix) == found
    assert schedules([replace(schedule, id=each) for each in ids], id_prefix=prefix) == found


# --- filters of promises --------------------------------------------------------------------------


def one_of_each():
    """Return a promise of each state, two that nobody has written the deadline of, and NOW."""
    settled = [
        replace(resolved, id=state, state=state) for state in ("rejected", "rejected_canceled")
    ]
    dead = replace(plain, id="dead", timeout_at=NOW)
    return [
        replace(plain, id="open"),
        replace(resolved, id="resolved"),
        *settled,
        replace(plain, id="timedout", state="rejected_timedout", timeout_at=NOW, settled_at=NOW),
        dead,
        replace(dead, id="timer", tags={"resonate:timer": "true"}),
    ]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("pending", ["open"]),
        ("resolved", ["resolved", "timer"]),
        ("rejected", ["rejected"]),
        ("rejected_canceled", ["rejected_canceled"]),
        ("rejected_timedout", ["dead", "timedout"]),
        (None, ["dead", "open", "rejected", "rejected_canceled", "resolved", "timedout", "timer"]),
    ],
)
def test_a_state_is_the_one_that_is_seen(state, found):
    assert promises(one_of_each(), state=state) == found


def test_before_the_deadline_what_is_pending_is_pending():
    assert promises(one_of_each(), state="pending", now=NOW - 1) == ["dead", "open", "timer"]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (None, "abc"),
        ({}, "abc"),
        ({"x": "1"}, "bc"),
        ({"x": "1", "y": "2"}, "c"),
        ({"x": "2"}, ""),
        ({"y": "1"}, ""),
        ({"z": ""}, ""),
    ],
)
def test_every_tag_that_is_given_must_be_there_with_its_value(tags, found):
    given = {"a": {}, "b": {"x": "1"}, "c": {"x": "1", "y": "2"}}
    assert promises(
        [replace(plain, id=each, tags=given[each]) for each in given], tags=tags
    ) == list(found)
    planned = [replace(schedule, id=each, promise_tags=given[each]) for each in given]
    assert schedules(planned, tags=tags) == list(found)


@pytest.mark.parametrize(("root_only", "found"), [(None, "abcd"), (False, "abcd"), (True, "ab")])
def test_8_6_a_root_has_no_parent_but_itself(root_only, found):
    parents = {
        "a": {},
        "b": {"resonate:parent": "b"},
        "c": {"resonate:parent": "a"},
        "d": {"resonate:parent": ""},
    }
    given = [replace(plain, id=each, tags=parents[each]) for each in parents]
    assert promises(given, root_only=root_only) == list(found)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (None, None, "123"),
        (2, None, "23"),
        (None, 2, "1"),
        (2, 3, "2"),
        (2, 2, ""),
        (3, 2, ""),
        (INT64_MIN, INT64_MAX, "123"),
    ],
)
def test_8_6_bounds_are_from_inclusive_to_exclusive(start, end, found):
    created = [replace(plain, id=each, created_at=int(each)) for each in "123"]
    assert promises(created, created_from=start, created_to=end) == list(found)
    settled = [replace(resolved, id=each, settled_at=int(each)) for each in "123"]
    assert promises(settled, settled_from=start, settled_to=end) == list(found)


@pytest.mark.parametrize("bounds", [{"settled_from": 0}, {"settled_to": INT64_MAX}])
def test_8_6_bounds_of_settlement_select_only_what_is_seen_settled(bounds):
    found = ["dead", "rejected", "rejected_canceled", "resolved", "timedout", "timer"]
    assert promises(one_of_each(), **bounds) == found
    assert "dead" not in promises(one_of_each(), **bounds, now=NOW - 1)


def test_8_6_the_settlement_of_what_is_dead_is_its_deadline():
    dead = [replace(plain, timeout_at=NOW + 5)]
    assert promises(dead, now=DEADLINE, settled_from=NOW + 5, settled_to=NOW + 6) == ["p"]
    assert promises(dead, now=DEADLINE, settled_from=NOW + 6) == []


def test_all_filters_must_match():
    query = {"state": "pending", "tags": {"a": "b"}, "id_prefix": "p", "created_from": NOW}
    match = replace(plain, tags={"a": "b"})
    others = [
        replace(match, state="resolved", settled_at=NOW),
        replace(match, tags={}),
        replace(match, id="q"),
        replace(match, created_at=NOW - 1),
    ]
    assert promises([*others, match], **query) == ["p"]
    assert promises(others, **query) == []


# --- by age ---------------------------------------------------------------------------------------

AGES = {"b": 1, "a": 2, "c": 2, "d": 3}


def aged():
    return [replace(plain, id=each, created_at=AGES[each]) for each in "dcab"]


@pytest.mark.parametrize(
    ("order", "found"), [("oldest", "bacd"), ("newest", "dacb"), ("id", "abcd"), (None, "abcd")]
)
def test_8_6_the_order_of_age_has_ties_by_id(order, found):
    assert promises(aged(), order=order) == list(found)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_8_6_in_order_of_age_a_cursor_continues_behind_a_promise(order):
    whole = promises(aged(), order=order)
    for number, last in enumerate(whole):
        cursor = encode_cursor(AGES[last], last)
        assert promises(aged(), order=order, cursor=cursor) == whole[number + 1 :]


@pytest.mark.parametrize(
    ("order", "cursor", "found"),
    [
        ("oldest", (2, ""), "acd"),
        ("oldest", (2, "b"), "cd"),
        ("oldest", (1, "z"), "acd"),
        ("newest", (2, ""), "acb"),
        ("newest", (2, "b"), "cb"),
        ("newest", (3, "z"), "acb"),
        ("newest", (0, ""), ""),
    ],
)
def test_8_6_such_a_cursor_need_not_be_of_a_promise(order, cursor, found):
    assert promises(aged(), order=order, cursor=encode_cursor(*cursor)) == list(found)


def test_a_cursor_that_cannot_be_read_is_a_mistake_of_the_door():
    with pytest.raises(AssertionError, match="is read before"):
        promises(aged(), order="newest", cursor="?")


@pytest.mark.parametrize(
    ("query", "bounds"),
    [
        ({"order": "oldest"}, (INT64_MIN, "")),
        ({"order": "newest"}, (INT64_MAX, "")),
        ({"order": "oldest", "cursor": encode_cursor(7, "p")}, (7, "p")),
        ({"order": "newest", "cursor": encode_cursor(0, "")}, (0, "")),
    ],
)
def test_where_an_order_of_age_begins(query, bounds):
    assert searches.age_bounds(rq.PromiseSearchData(**query)) == bounds


# --- tasks ----------------------------------------------------------------------------------------


def worked():
    """Return a task of each state, one whose promise is dead, and a promise without a task."""
    states = (pending, acquired, suspended, halted)
    live = [tasked(each, promise_id=each.state) for each in states]
    dead = replace(tasked(acquired, promise_id="dead"), timeout_at=NOW)
    return [*live, tasked(fulfilled, resolved, "fulfilled"), dead, plain]


@pytest.mark.parametrize("state", ["pending", "acquired", "suspended", "halted"])
def test_a_task_is_found_by_its_state(state):
    assert tasks(worked(), state=state) == [state]


def test_the_task_of_a_dead_promise_counts_as_fulfilled():
    assert tasks(worked(), state="fulfilled") == ["dead", "fulfilled"]
    assert tasks(worked(), state="acquired", now=NOW - 1) == ["acquired", "dead"]
    assert [searches.task_state(each, NOW) for each in worked()[:6]] == [
        *("pending", "acquired", "suspended", "halted", "fulfilled", "fulfilled")
    ]


def test_only_what_has_a_task_is_found():
    assert tasks(worked()) == ["acquired", "dead", "fulfilled", "halted", "pending", "suspended"]
    with pytest.raises(AssertionError, match="without a target"):
        searches.task_state(plain, NOW)


def test_the_states_are_all_there_are():
    assert {project(each, NOW).state for each in one_of_each()} == set(searches.PROMISE_STATES)
    assert {searches.task_state(each, NOW) for each in worked()[:6]} == set(searches.TASK_STATES)


# --- counts ---------------------------------------------------------------------------------------


def test_8_6_what_is_counted_matches_all_but_state_and_cursor():
    query = rq.PromiseSearchData(state="pending", cursor="z", limit=1, id_prefix="r")
    counted = [each.id for each in one_of_each() if searches.matches(each, query, NOW)]
    assert counted == ["resolved", "rejected", "rejected_canceled"]


# --- where ids begin and end ----------------------------------------------------------------------

TEXTS = ["a", "a\x00", "a\ud7ff", "a\ue000", "a\U0010ffff", "a\U0010ffffb", "b", "\ud7ff", "\ue000"]
TEXTS += ["", "\U0010ffff", "\U0010ffff\U0010ffff", "\ud7ff\U0010ffff", "ab", "é"]


@pytest.mark.parametrize("prefix", [None, *TEXTS])
def test_ids_with_a_prefix_are_those_from_where_they_begin_to_where_they_end(prefix):
    for cursor in (None, *TEXTS):
        low, high = searches.id_bounds(prefix, cursor)
        for text in TEXTS:
            is_within = low <= text and (high is None or text < high)
            is_meant = text.startswith(prefix or "") and (cursor is None or text > cursor)
            assert is_within == is_meant, (prefix, cursor, text)


def test_no_bound_is_half_a_character():
    for prefix in filter(None, TEXTS):
        low, high = searches.id_bounds(prefix, None)
        assert low.encode()
        assert high is None or high.encode()


# --- as it is told --------------------------------------------------------------------------------


def told(world, kind, **query):
    (name,) = world.ok(kind, **query)
    return world.ok(kind, **query)[name]


def test_c8_what_is_found_is_told_as_it_is_seen():
    world = World()
    world.create("p", timer="true")
    world.ok("task.create", **lease("t"))
    world.ok("schedule.create", **schedule_data())
    world.now = DEADLINE
    before = dict(world.objects)
    assert told(world, "promise.search", state="pending") == []
    assert told(world, "promise.search", state="resolved") == [
        world.ok("promise.get", id="p")["promise"]
    ]
    assert told(world, "promise.search", tags={"resonate:target": ANY}) == [
        world.ok("promise.get", id="t")["promise"]
    ]
    assert told(world, "task.search", state="acquired") == []
    assert told(world, "task.search") == [world.ok("task.get", id="t")["task"]]
    assert told(world, "schedule.search") == [world.ok("schedule.get", id="s")["schedule"]]
    assert world.objects == before


def test_a_search_finds_a_tree_by_its_origin():
    world = World()
    for each, parent in (("r", "r"), ("r:1", "r"), ("r:1:1", "r:1"), ("q", "q")):
        world.create(each, origin=each[0], parent=parent)
    tree = told(world, "promise.search", tags={"resonate:origin": "r"})
    assert [each["id"] for each in tree] == ["r", "r:1", "r:1:1"]
    roots = told(world, "promise.search", rootOnly=True)
    assert [each["id"] for each in roots] == ["q", "r"]
