"""The client of promises, against the server in this process and one over HTTP."""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
import time
import uuid

import pytest

from resonate import Resonate
from resonate.errors import (
    DecodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateStoreError,
    ResonateTimedoutError,
    ValueTooLargeError,
)
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, PromiseAnswer
from resonate.protocol.records import PromiseRecord, Value
from resonate.sdk.promises import DurablePromise, PromisePage, Promises
from tests.processes.children import until
from tests.sdk.proxy import LOSE_ANSWER

LATER = 4_000_000_000_000  # year 2096


@pytest.fixture(params=["local", "remote"])
def resonate(request):
    made = request.getfixturevalue(request.param)
    return made if isinstance(made, Resonate) else made()


@pytest.fixture
def promises(resonate):
    return resonate.promises


@pytest.fixture
def name():
    """Return a maker of ids that no other test has."""
    return f"{uuid.uuid4().hex[:12]}.{{}}".format


# --- create and get -------------------------------------------------------------------------------


def test_a_promise_is_created_and_read_back(promises, name):
    before = int(time.time() * 1000)
    created = promises.create(
        name("a"), LATER, headers={"h": "1"}, data='{"n": [1, "ö"]}', tags={"t": "x"}
    )
    assert isinstance(created, DurablePromise)
    assert created == promises.get(name("a"))
    assert (created.id, created.state, created.timeout) == (name("a"), "pending", LATER)
    assert (created.param.headers, created.param.data) == ({"h": "1"}, '{"n": [1, "ö"]}')
    assert (created.value.headers, created.value.data) == ({}, None)
    assert created.tags == {"t": "x"}
    assert before <= created.created_on <= time.time() * 1000 + 1
    assert created.completed_on is None
    assert created.pending
    assert not created.completed


def test_without_anything_else_a_promise_has_an_id_and_a_deadline(promises, name):
    created = promises.create(id=name("a"), timeout_ms=LATER)
    assert (created.param.headers, created.param.data, created.tags) == ({}, None, {})


def test_one_that_exists_is_returned_as_it_is(promises, name):
    first = promises.create(name("a"), LATER, data="1")
    assert promises.create(name("a"), LATER + 1, data="2", tags={"a": "b"}) == first


def test_a_promise_cannot_be_changed(promises, name):
    created = promises.create(name("a"), LATER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        created.state = "resolved"
    with pytest.raises(dataclasses.FrozenInstanceError):
        created.param.headers = {}


# --- settle ---------------------------------------------------------------------------------------

STATES = {"resolve": "resolved", "reject": "rejected", "cancel": "rejected_canceled"}
PREDICATES = {
    "resolved": "resolved",
    "rejected": "rejected",
    "rejected_canceled": "canceled",
    "rejected_timedout": "timedout",
}


def predicates(promise):
    return {each for each in PREDICATES.values() if getattr(promise, each)}


@pytest.mark.parametrize("how", STATES)
def test_settling_tells_the_settled_promise(promises, name, how):
    created = promises.create(name("a"), LATER)
    settled = getattr(promises, how)(name("a"), headers={"k": "v"}, data='"done"')
    assert settled == promises.get(name("a"))
    assert settled.state == STATES[how]
    assert (settled.value.headers, settled.value.data) == ({"k": "v"}, '"done"')
    assert settled.completed_on >= created.created_on
    assert (settled.pending, settled.completed) == (False, True)
    assert predicates(settled) == {PREDICATES[settled.state]}


@pytest.mark.parametrize("how", STATES)
def test_the_first_settlement_wins_and_is_told(promises, name, how):
    promises.create(name("a"), LATER)
    first = promises.resolve(name("a"), data="1")
    assert getattr(promises, how)(name("a"), data="2") == first


def test_a_deadline_that_has_passed_is_seen(promises, name):
    born = promises.create(name("a"), 1_000)
    assert (born.state, born.completed_on) == ("rejected_timedout", 1_000)
    assert predicates(born) == {"timedout"}
    assert promises.resolve(name("a"), data="1") == born


# --- who waits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "result"),
    [("42", 42), ('"yes"', "yes"), ("null", None), (None, None), ('{"a":[1]}', {"a": [1]})],
)
def test_a_waiter_reads_what_the_text_says(resonate, name, data, result):
    resonate.promises.create(name("a"), LATER)
    handle = resonate.get(name("a"))
    assert not handle.done()
    resonate.promises.resolve(name("a"), data=data)
    assert handle.result(5) == result


def test_a_waiter_raises_what_the_settlement_stands_for(resonate, name):
    promises = resonate.promises
    for each in "abcd":
        promises.create(name(each), LATER)
    handles = [resonate.get(name(each)) for each in "abcd"]
    promises.reject(name("a"), data='{"name": "TooLate", "message": "closed at six"}')
    promises.reject(name("b"), data='"no"')
    promises.cancel(name("c"))
    promises.resolve(name("d"), data="no JSON")
    with pytest.raises(RemoteError, match=r"^TooLate: closed at six$") as caught:
        handles[0].result(5)
    assert (caught.value.type, caught.value.message) == ("TooLate", "closed at six")
    with pytest.raises(RemoteError, match=r'^Rejected: "no"$'):
        handles[1].result(5)
    with pytest.raises(ResonateCanceledError):
        handles[2].result(5)
    with pytest.raises(DecodingError):
        handles[3].result(5)
    promises.create(name("e"), 1)
    with pytest.raises(ResonateTimedoutError):
        resonate.get(name("e")).result(5)


def test_a_call_can_be_read_and_settled_from_outside(resonate, group, name):
    call = resonate.options(target=f"nobody-{group}", tags={"mine": "x"})
    handle = call.begin_rpc(name("a"), "f", 1, [2], key="ö")
    promise = resonate.promises.get(name("a"))
    assert json.loads(promise.param.data) == {
        "func": "f",
        "args": [1, [2]],
        "kwargs": {"key": "ö"},
        "version": 1,
    }
    assert promise.tags["mine"] == "x"
    resonate.promises.resolve(name("a"), data="7")
    assert handle.result(5) == 7


def test_a_promise_with_a_target_is_a_call(resonate, name):
    resonate.register(lambda ctx, number: number * 2, name="double")
    resonate.start()
    resonate.promises.create(
        name("a"),
        LATER,
        data='{"func": "double", "args": [21]}',
        tags={"resonate:target": f"poll://any@{resonate.group}"},
    )
    assert resonate.get(name("a")).result(5) == 42
    assert resonate.promises.get(name("a")).value.data == "42"


# --- search ---------------------------------------------------------------------------------------


@pytest.fixture
def four(promises, name):
    """Four promises: two pending, one of them a child; a resolved and a rejected one."""
    promises.create(name("a"), LATER, tags={"kind": "x", "n": "1"})
    promises.create(name("b"), LATER, tags={"kind": "x", "resonate:parent": name("a")})
    promises.create(name("c"), LATER, tags={"kind": "y"})
    promises.create(name("d"), LATER)
    promises.resolve(name("c"), data="1")
    promises.reject(name("d"))
    return functools.partial(promises.search, id_prefix=name(""))


def letters(page):
    assert isinstance(page, PromisePage)
    return "".join(each.id[-1] for each in page.promises)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "abcd"),
        ({"state": "pending"}, "ab"),
        ({"state": "resolved"}, "c"),
        ({"state": "rejected_timedout"}, ""),
        ({"tags": {"kind": "x"}}, "ab"),
        ({"tags": {"kind": "x", "n": "1"}}, "a"),
        ({"tags": {}}, "abcd"),
        ({"tags": {"kind": "x"}, "state": "resolved"}, ""),
        ({"root_only": True}, "acd"),
        ({"root_only": False}, "abcd"),
        ({"created_from": LATER}, ""),
        ({"created_to": LATER}, "abcd"),
        ({"created_from": 0, "created_to": 1}, ""),
        ({"settled_from": 0}, "cd"),
        ({"settled_from": LATER}, ""),
        ({"settled_to": LATER}, "cd"),
        ({"order": "oldest"}, "abcd"),
        ({"state": None, "tags": None, "order": None, "limit": None, "cursor": None}, "abcd"),
    ],
    ids=str,
)
def test_all_filters_must_match(four, filters, found):
    page = four(**filters)
    assert "".join(sorted(letters(page))) == found
    assert (page.cursor, page.counts) == (None, None)


def test_the_order_is_that_of_ids_or_of_age(promises, name):
    prefix = functools.partial(promises.search, id_prefix=name(""))
    for each in "bca":
        created = promises.create(name(each), LATER).created_on
        until(lambda created=created: time.time() * 1000 > created + 1)  # the next is younger
    assert [letters(prefix(order=order)) for order in ("id", "newest", "oldest")] == [
        "abc",
        "acb",
        "bca",
    ]


def test_counts_are_per_state_whatever_the_page_is(four):
    page = four(state="resolved", limit=1, counts=True)
    assert letters(page) == "c"
    assert {state: count for state, count in page.counts.items() if count} == {
        "pending": 2,
        "resolved": 1,
        "rejected": 1,
    }


def test_pages_follow_one_another_by_their_cursor(four):
    first = four(limit=3)
    assert (letters(first), first.cursor is None) == ("abc", False)
    second = four(limit=3, cursor=first.cursor)
    assert (letters(second), second.cursor) == ("d", None)


@pytest.mark.parametrize("limit", [None, 1, 3, 4])
@pytest.mark.parametrize("order", ["id", "newest"])
def test_search_all_goes_through_all_pages(promises, four, name, limit, order):
    found = promises.search_all(id_prefix=name(""), limit=limit, order=order)
    assert sorted(each.id for each in found) == [name(each) for each in "abcd"]


def test_search_all_asks_for_a_page_when_it_is_needed(promises, four, name):
    found = promises.search_all(id_prefix=name(""), limit=2)
    assert [next(found).id[-1] for _ in range(2)] == ["a", "b"]
    promises.create(name("bb"), LATER)
    assert [each.id for each in found] == [name(each) for each in ("bb", "c", "d")]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["get", *STATES])
def test_what_does_not_exist_is_404(promises, name, how):
    with pytest.raises(ResonateStoreError, match=r"^Promise not found$") as caught:
        getattr(promises, how)(name("a"))
    assert caught.value.code == 404


@pytest.mark.parametrize(
    ("how", "arguments", "text"),
    [
        ("create", ("a", -1), "TimeoutAt must be a non-negative integer"),
        ("create", ("a\x00b", LATER), "Promise ID must not contain null bytes"),
        ("get", ("x" * 5000,), "Invalid request: id too long"),
    ],
)
def test_what_the_server_refuses_has_its_text_and_status(promises, how, arguments, text):
    with pytest.raises(ResonateStoreError) as caught:
        getattr(promises, how)(*arguments)
    assert (str(caught.value), caught.value.code) == (text, 400)


@pytest.mark.parametrize("filters", [{"limit": 0}, {"limit": 1001}, {"order": "size"}], ids=str)
def test_a_search_that_the_server_refuses_is_400(promises, filters):
    with pytest.raises(ResonateStoreError) as caught:
        promises.search(**filters)
    assert caught.value.code == 400
    with pytest.raises(ResonateStoreError):
        next(promises.search_all(**filters))


@pytest.mark.parametrize("how", ["get", "create", *STATES])
@pytest.mark.parametrize(
    ("id", "error", "text"),
    [
        (5, TypeError, "id must be `str`, got int"),
        (None, TypeError, "id must be `str`, got NoneType"),
        ("", ValueError, "id must not be empty"),
        ("\ud800", ValueError, "id is no valid Unicode: it has half a surrogate"),
    ],
)
def test_wrong_ids_are_refused_in_these_words(local, how, id, error, text):
    more = (LATER,) if how == "create" else ()
    with pytest.raises(error) as caught:
        getattr(local.promises, how)(id, *more)
    assert str(caught.value) == text


@pytest.mark.parametrize("how", ["create", *STATES])
@pytest.mark.parametrize("data", [42, b"x", {"a": 1}, ["x"], True])
def test_data_that_is_no_text_is_refused_with_what_to_write(local, how, data):
    more = (LATER,) if how == "create" else ()
    with pytest.raises(TypeError) as caught:
        getattr(local.promises, how)("a", *more, data=data)
    assert str(caught.value) == (
        f"data must be `str | None`, got {type(data).__name__}: "
        "it is the JSON text of a value, so write json.dumps(value)"
    )
    assert local.promises.search().promises == ()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"timeout_ms": 1.5}, TypeError, "timeout_ms must be `int`, got float"),
        ({"timeout_ms": True}, TypeError, "timeout_ms must be `int`, got bool"),
        ({"timeout_ms": 2**63}, ValueError, "timeout_ms must have 64 bits at the most"),
        ({"headers": []}, TypeError, "headers must be `dict | None`, got list"),
        ({"headers": {"a": 1}}, TypeError, "headers must map `str` to `str`, got int"),
        ({"tags": "x"}, TypeError, "tags must be `dict | None`, got str"),
        ({"tags": {1: "a"}}, TypeError, "tags must map `str` to `str`, got int"),
        (
            {"tags": {"a": "\ud800"}},
            ValueError,
            "tags is no valid Unicode: it has half a surrogate",
        ),
        ({"data": "\ud800"}, ValueError, "data is no valid Unicode: it has half a surrogate"),
    ],
)
def test_wrong_arguments_are_refused_in_these_words(local, arguments, error, text):
    with pytest.raises(error) as caught:
        local.promises.create("a", **{"timeout_ms": LATER, **arguments})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("filters", "error", "text"),
    [
        ({"state": "PENDING"}, ValueError, "state must be one of pending, resolved, "),
        ({"state": 1}, TypeError, "state must be `str`, got int"),
        ({"tags": ["a"]}, TypeError, "tags must be `dict | None`, got list"),
        ({"limit": "5"}, TypeError, "limit must be `int`, got str"),
        ({"limit": 2**63}, ValueError, "limit must have 64 bits at the most"),
        ({"created_from": 1.5}, TypeError, "created_from must be `int`, got float"),
        ({"root_only": 1}, TypeError, "root_only must be `bool`, got int"),
        ({"counts": "yes"}, TypeError, "counts must be `bool`, got str"),
        ({"id_prefix": "\ud800"}, ValueError, "id_prefix is no valid Unicode"),
        ({"cursor": 5}, TypeError, "cursor must be `str`, got int"),
        ({"prefix": "a"}, TypeError, "a search has no filter 'prefix': it has state, tags, "),
    ],
)
def test_wrong_filters_are_refused_in_these_words(local, filters, error, text):
    with pytest.raises(error) as caught:
        local.promises.search(**filters)
    assert str(caught.value).startswith(text)


class _Elsewhere:
    """A client that answers every request with what somebody else stored."""

    def __init__(self, data):
        self._data = data
        self.client = self

    def head(self):
        return rq.Head("1", rq.VERSION)

    def ask(self, request):
        record = PromiseRecord(
            request.data.id, "resolved", Value(), Value(None, self._data), {}, LATER, 1, 2
        )
        self.answers = [Answer(200, PromiseAnswer(record))]
        return self

    def result(self):
        return self


@pytest.mark.parametrize(("stored", "data"), [("", ""), ("NDI=", "42"), (None, None)])
def test_what_others_stored_is_read(stored, data):
    assert Promises(_Elsewhere(stored)).get("a").value.data == data


@pytest.mark.parametrize("stored", ["%", "NDI", "/w=="])
def test_what_is_no_text_in_base64_fails_where_it_is_read(stored):
    value = Promises(_Elsewhere(stored)).get("a").value
    assert value.encoded == stored
    with pytest.raises(DecodingError, match=r"^the value of promise a cannot be read: "):
        _ = value.data


# --- threads and life -----------------------------------------------------------------------------


def test_all_threads_may_use_it_at_the_same_time(promises, name):
    found = []

    def work(number):
        promises.create(name(number % 5), LATER)
        found.append(promises.resolve(name(number % 5), data=str(number)).value.data)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 40
    assert len(set(found)) == 5


def test_copies_with_options_have_the_same_promises(resonate, name):
    kept = resonate.promises
    resonate.options(timeout=5, target="elsewhere").promises.create(name("a"), LATER)
    assert kept.get(name("a")).timeout == LATER


def test_it_goes_on_after_a_stop(remote, name):
    resonate = remote()
    promises = resonate.promises
    promises.create(name("a"), LATER)
    resonate.stop()
    assert promises.get(name("a")).pending


def test_a_lost_answer_is_asked_for_again(remote, proxy, name):
    resonate = remote(proxy.url)
    faults = [LOSE_ANSWER, LOSE_ANSWER]
    proxy.rule = lambda posts: faults.pop() if faults else None
    assert resonate.promises.create(name("a"), LATER, data="1").param.data == "1"
    assert faults == []


@pytest.mark.parametrize("name", ["cursor", "counts"])
def test_all_pages_have_no_cursor_and_no_counts(make, name):
    local = make(Resonate.local())
    for client in (local.promises, local.schedules):
        with pytest.raises(TypeError, match=f"search_all takes no {name}"):
            list(client.search_all(**{name: None}))


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_data_that_is_too_large_is_refused_with_the_limit(make, remote, group, kind):
    client = make(Resonate.local()) if kind == "local" else remote()
    large = "x" * 4_000_000
    client.promises.create(group, 2**50)
    for refused in (
        lambda: client.promises.create(f"{group}-large", 2**50, data=large),
        lambda: client.promises.resolve(group, data=large),
    ):
        with pytest.raises(
            ValueTooLargeError, match=r"data has 5333336 bytes .* more than the \d+"
        ):
            refused()
    assert client.promises.get(group).pending
