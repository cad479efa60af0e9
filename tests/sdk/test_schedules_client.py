"""Schedules, against the server in this process and one over HTTP; one of them fires."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
import time
import uuid

import pytest

from resonate import Resonate
from resonate.errors import ArgumentsError, EncodingError, ResonateStoreError
from resonate.retry_policies import Constant
from resonate.sdk.schedules import Schedule, SchedulePage
from tests.processes.children import until
from tests.sdk.proxy import LOSE_ANSWER

NEW_YEAR = "0 0 1 1 *"
YEAR_MS = 31_536_000_000
DEEP = pytest.param("[" * 100_000, id="deep")
WRITE = "it is the JSON text of a value, so write json.dumps(value)"


@pytest.fixture(params=["local", "remote"])
def resonate(request):
    made = request.getfixturevalue(request.param)
    return made if isinstance(made, Resonate) else made()


@pytest.fixture
def name(resonate):
    """Return a maker of ids that no other test has; schedules with such an id are deleted."""
    prefix = f"{uuid.uuid4().hex[:12]}."
    yield f"{prefix}{{}}".format
    for each in resonate.schedules.search_all(id_prefix=prefix):
        each.delete()


# --- the client -----------------------------------------------------------------------------------


def test_a_schedule_is_created_and_read_back(resonate, name):
    before = int(time.time() * 1000)
    created = resonate.schedules.create(
        name("a"),
        NEW_YEAR,
        "{{.id}}-{{.timestamp}}",
        60_000,
        promise_headers={"h": "1"},
        promise_data='"ö"',
        promise_tags={"t": "x"},
    )
    assert isinstance(created, Schedule)
    assert created == resonate.schedules.get(name("a"))
    assert (created.id, created.cron) == (name("a"), NEW_YEAR)
    assert (created.promise_id, created.promise_timeout) == ("{{.id}}-{{.timestamp}}", 60_000)
    assert (created.promise_param.headers, created.promise_param.data) == ({"h": "1"}, '"ö"')
    assert created.promise_tags == {"t": "x"}
    assert before <= created.created_on < created.next_runtime
    next_run = time.gmtime(created.next_runtime / 1000)
    assert (next_run.tm_yday, next_run.tm_hour, next_run.tm_min) == (1, 0, 0)
    assert created.last_runtime is None


def test_one_that_exists_is_returned_as_it_is(resonate, name):
    first = resonate.schedules.create(name("a"), NEW_YEAR, "{{.id}}", 1)
    assert resonate.schedules.create(name("a"), "0 9 * * *", "other", 2) == first


def test_a_schedule_is_an_unchangeable_record_without_its_client(resonate, name):
    created = resonate.schedules.create(name("a"), NEW_YEAR, "{{.id}}", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        created.cron = "x"
    assert "_schedules" not in repr(created)
    assert created == dataclasses.replace(created, _schedules=None)


@pytest.mark.parametrize("how", ["client", "record"])
def test_what_is_deleted_is_gone(resonate, name, how):
    created = resonate.schedules.create(name("a"), NEW_YEAR, "{{.id}}", 1)
    delete = created.delete if how == "record" else lambda: resonate.schedules.delete(name("a"))
    assert delete() is None
    for act in (delete, lambda: resonate.schedules.get(name("a"))):
        with pytest.raises(ResonateStoreError, match=r"^Schedule not found$") as caught:
            act()
        assert caught.value.code == 404


def test_a_delete_whose_answer_was_lost_has_deleted(remote, proxy):
    schedules = remote(proxy.url).schedules
    id = uuid.uuid4().hex
    schedules.create(id, NEW_YEAR, "{{.id}}", 1)
    faults = [LOSE_ANSWER]
    proxy.rule = lambda posts: faults.pop() if faults else None
    assert schedules.delete(id) is None
    assert faults == []
    with pytest.raises(ResonateStoreError):
        schedules.get(id)


def test_searches_find_by_prefix_and_tag_page_by_page(resonate, name):
    schedules = resonate.schedules
    for number in range(12):
        tags = {"parity": "odd" if number % 2 else "even"}
        id = name(f"{number:02}")
        schedules.create(id, NEW_YEAR, "{{.id}}", 1, promise_tags=tags)
    first = schedules.search(id_prefix=name(""))
    assert isinstance(first, SchedulePage)
    assert [each.id for each in first.schedules] == [name(f"{n:02}") for n in range(10)]
    second = schedules.search(id_prefix=name(""), cursor=first.cursor)
    assert ([each.id for each in second.schedules], second.cursor) == (
        [name("10"), name("11")],
        None,
    )
    for limit in (None, 1, 5, 6):
        odd = schedules.search_all(id_prefix=name(""), tags={"parity": "odd"}, limit=limit)
        assert [each.id for each in odd] == [name(f"{n:02}") for n in range(1, 12, 2)]
    assert schedules.search(id_prefix=name(""), tags={"parity": "x"}).schedules == ()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a", "0 9 * * 0", "{{.id}}", 1), "Invalid cron expression"),
        (("a", NEW_YEAR, "{{.id}}", -1), "Promise timeout must be a non-negative integer"),
        (("a\x00", NEW_YEAR, "{{.id}}", 1), "Schedule ID must not contain null bytes"),
    ],
)
def test_what_the_server_refuses_has_its_text_and_status(resonate, arguments, text):
    with pytest.raises(ResonateStoreError) as caught:
        resonate.schedules.create(*arguments)
    assert (str(caught.value), caught.value.code) == (text, 400)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"id": 5}, TypeError, "id must be `str`, got int"),
        ({"id": ""}, ValueError, "id must not be empty"),
        ({"cron": None}, TypeError, "cron must be `str`, got NoneType"),
        ({"cron": ""}, ValueError, "cron must not be empty"),
        ({"promise_id": 5}, TypeError, "promise_id must be `str`, got int"),
        ({"promise_timeout_ms": 0.5}, TypeError, "promise_timeout_ms must be `int`, got float"),
        ({"promise_tags": {"a": 1}}, TypeError, "promise_tags must map `str` to `str`, got int"),
        ({"promise_headers": 5}, TypeError, "headers must be `dict | None`, got int"),
        (
            {"promise_data": 42},
            TypeError,
            f"data must be `str | None`, got int: {WRITE}",
        ),
    ],
)
def test_wrong_arguments_are_refused_in_these_words(local, arguments, error, text):
    given = {"id": "a", "cron": NEW_YEAR, "promise_id": "b", "promise_timeout_ms": 1}
    with pytest.raises(error) as caught:
        local.schedules.create(**{**given, **arguments})
    assert str(caught.value) == text


@pytest.mark.parametrize("how", ["get", "delete"])
def test_wrong_ids_are_refused(local, how):
    with pytest.raises(TypeError, match=r"^id must be `str`, got int$"):
        getattr(local.schedules, how)(5)


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"limit": "5"}, "limit must be `int`, got str"),
        ({"tags": []}, "tags must be `dict | None`, got list"),
        ({"state": "x"}, "a search has no filter 'state': it has tags, id_prefix, limit, cursor"),
    ],
)
def test_wrong_filters_are_refused_in_these_words(local, filters, text):
    with pytest.raises(TypeError) as caught:
        local.schedules.search(**filters)
    assert str(caught.value) == text


# --- scheduling a function ------------------------------------------------------------------------


def report(ctx, customer, *, deep=False):
    return [ctx.id, customer, deep, ctx.info.tags, ctx.info.version]


@pytest.fixture
def registered(resonate):
    return resonate.register(report, version=3)


@pytest.mark.parametrize(
    "func", ["registered", report, "report"], ids=["Function", "function", "name"]
)
def test_a_schedule_calls_a_function_with_the_options_of_the_client(
    resonate, registered, name, func
):
    func = registered if func == "registered" else func
    given = resonate.options(target="workers", timeout=90.5, tags={"mine": "x"})
    made = given.schedule(name("a"), func, NEW_YEAR, "ann", deep=True)
    assert isinstance(made, Schedule)
    assert made == resonate.schedules.get(name("a"))
    assert (made.cron, made.promise_timeout) == (NEW_YEAR, 90_500)
    assert made.promise_id == "{{.id}}.{{.timestamp}}"
    assert json.loads(made.promise_param.data) == {
        "func": "report",
        "args": ["ann"],
        "kwargs": {"deep": True},
        "version": 3,
    }
    assert made.promise_tags == {
        "mine": "x",
        "resonate:scope": "global",
        "resonate:target": "poll://any@workers",
        "resonate:func": "report",
        "resonate:version": "3",
    }


def test_a_retry_policy_travels_with_the_calls_of_a_schedule(resonate, name):
    options = resonate.options(retry_policy=Constant(delay=2, max_retries=3))
    made = options.schedule(name("a"), "unknown", NEW_YEAR)
    policy = json.loads(made.promise_tags["resonate:retry"])
    assert (policy["kind"], policy["delay"], policy["max_retries"]) == ("Constant", 2, 3)


def test_arguments_that_the_function_does_not_take_are_refused(resonate, registered, name):
    with pytest.raises(ArgumentsError, match="deeep"):
        resonate.schedule(name("a"), registered, NEW_YEAR, "ann", deeep=True)


def test_without_options_it_calls_its_own_group_and_waits_a_year(resonate, name):
    made = resonate.schedule(name("a"), "unknown", NEW_YEAR)
    assert made.promise_tags["resonate:target"] == f"poll://any@{resonate.group}"
    assert made.promise_timeout == YEAR_MS
    assert json.loads(made.promise_param.data)["version"] == 1
    other = resonate.options(version=7).schedule(name("b"), func="unknown", cron=NEW_YEAR)
    assert json.loads(other.promise_param.data)["version"] == 7


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, 9.3e15])
def test_a_timeout_beyond_all_clocks_means_no_deadline(resonate, name, timeout):
    made = resonate.options(timeout=timeout).schedule(name("a"), "f", NEW_YEAR)
    assert made.promise_timeout == 2**63 - 1


def test_it_calls_the_function_at_each_occurrence(resonate, registered, name):
    resonate.start()
    made = resonate.options(tags={"mine": "x"}).schedule(name("a"), report, "* * * * * *", "ann")
    find = {"tags": {"resonate:schedule": name("a")}, "state": "resolved"}
    (run, *_) = until(lambda: resonate.promises.search(**find).promises)
    made.delete()
    instant = int(run.id.removeprefix(name("a.")))
    assert instant >= made.next_runtime
    assert instant % 1000 == 0
    assert run.timeout == instant + YEAR_MS
    id, customer, deep, tags, version = resonate.get(run.id).result(5)
    assert (id, customer, deep, version) == (run.id, "ann", False, 3)
    assert tags["mine"] == "x"
    assert tags["resonate:origin"] == run.id


# --- the same schedule again ----------------------------------------------------------------------


def test_the_same_schedule_again_is_nothing_new(resonate, registered, name):
    def start_up():
        return resonate.options(tags={"t": "x"}).schedule(
            name("a"), report, NEW_YEAR, ("ann", 1), deep={"b": 1, "a": 2}
        )

    first = start_up()
    assert start_up() == first
    found = []
    threads = [threading.Thread(target=lambda: found.append(start_up())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [first] * 10


@pytest.mark.parametrize(
    ("options", "changed", "difference"),
    [
        ({}, {"cron": "0 9 * * *"}, "its cron is '0 0 1 1 *', not '0 9 * * *'"),
        ({}, {"func": "g"}, "its function is 'f', not 'g'"),
        ({}, {"args": (2,)}, "its arguments differ"),
        ({}, {"args": (True,)}, "its arguments differ"),
        ({}, {"args": (1.0,)}, "its arguments differ"),
        ({}, {"kwargs": {}}, "its arguments differ"),
        ({"version": 2}, {}, "its version is 1, not 2"),
        ({"timeout": 5}, {}, "its timeout in ms is 31536000000, not 5000"),
        ({"target": "t"}, {}, "its tag resonate:target differs"),
        ({"tags": {"a": "2"}}, {}, "its tag a differs"),
        ({"tags": {"b": "1"}}, {}, "its tag a differs; its tag b differs"),
        ({"version": 2}, {"func": "g"}, "its function is 'f', not 'g'; its version is 1, not 2"),
    ],
    ids=str,
)
def test_another_schedule_under_the_same_id_is_refused_with_what_differs(
    resonate, name, options, changed, difference
):
    def schedule(client, func="f", cron=NEW_YEAR, args=(1,), kwargs=None):
        kwargs = {"key": "x"} if kwargs is None else kwargs
        return client.schedule(name("a"), func, cron, *args, **kwargs)

    client = resonate.options(tags={"a": "1"})
    first = schedule(client)
    with pytest.raises(ResonateStoreError) as caught:
        schedule(client.options(**options), **changed)
    id = name("a")
    assert str(caught.value) == (
        f"schedule {id} exists already, and is another: {difference}. "
        f"To change it, delete it first: resonate.schedules.delete({id!r})"
    )
    assert caught.value.code == 409
    assert resonate.schedules.get(id) == first
    first.delete()
    assert schedule(client.options(**options), **changed) != first


@pytest.mark.parametrize("data", [None, "", "42", "no JSON", '{"args": []}', DEEP])
def test_a_schedule_that_calls_nothing_is_another(resonate, name, data):
    template = "{{.id}}.{{.timestamp}}"
    made = resonate.schedule(name("a"), "f", NEW_YEAR)
    made.delete()
    tags = made.promise_tags
    resonate.schedules.create(
        name("a"), NEW_YEAR, template, YEAR_MS, promise_data=data, promise_tags=tags
    )
    with pytest.raises(ResonateStoreError, match=r"and is another: it calls no function\."):
        resonate.schedule(name("a"), "f", NEW_YEAR)


def test_a_schedule_that_another_sdk_wrote_may_be_the_same(resonate, name):
    made = resonate.schedule(name("a"), "f", NEW_YEAR)
    made.delete()
    create = resonate.schedules.create
    like = (name("a"), NEW_YEAR, made.promise_id, YEAR_MS)
    data = '{"version": 1, "func": "f"}'
    same = create(*like, promise_data=data, promise_tags=made.promise_tags)
    assert resonate.schedule(name("a"), "f", NEW_YEAR) == same
    same.delete()
    tags = {"promise_tags": made.promise_tags, "promise_headers": {"x": "y"}}
    create(name("a"), NEW_YEAR, "{{.id}}", YEAR_MS, promise_data=data, **tags)
    with pytest.raises(ResonateStoreError, match=r"template of ids is .*; it has headers\."):
        resonate.schedule(name("a"), "f", NEW_YEAR)


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((5, "f", NEW_YEAR), TypeError, "id must be `str`, got int"),
        (("", "f", NEW_YEAR), ValueError, "id must not be empty"),
        (("a", 5, NEW_YEAR), TypeError, "func must be `Callable | str`, got int"),
        (("a", "", NEW_YEAR), ValueError, "func must not be empty"),
        (("a", report, NEW_YEAR), ValueError, "function report not found in registry"),
        (("a", "f", 5), TypeError, "cron must be `str`, got int"),
        (("a", "f", ""), ValueError, "cron must not be empty"),
        (("a", "f", NEW_YEAR, object()), EncodingError, "args[0] is of type object"),
        (("a", "f", "0 9 * * 0"), ResonateStoreError, "Invalid cron expression"),
        (("a", NEW_YEAR, "f"), ResonateStoreError, "Invalid cron expression"),
    ],
)
def test_a_wrong_schedule_is_refused_in_these_words(resonate, arguments, error, text):
    with pytest.raises(error) as caught:
        resonate.schedule(*arguments)
    assert str(caught.value).startswith(text)
