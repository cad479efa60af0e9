"""What objects may contain, on every store: it comes back exactly, through cache and disk."""

from __future__ import annotations

import asyncio

import pytest

from resonate.core.objects import Promise, Task
from resonate.protocol.limits import INT64_MAX, TAGS_MAX
from resonate.protocol.records import Value
from resonate.protocol.validation import TARGET
from tests.store.stores import ROUTE, acquired, get, look, promise, put, targeted, value

IDS = [
    "a",
    " ",
    "a b",
    "\U0001f600\U0001f468\u200d\U0001f469",
    "'; DROP TABLE promises; --",
    '"quoted" \\ back \\u0041',
    "\u2028\u2029\x85\ufeff",
    "\x01\x1f\x7f\t\r\n",
    "null",
    "1",
    "[1]",
    '{"a":1}',
    "é",
    "e\u0301",  # the same to look at, another id
    "\uffff\U0010ffff",
    "%25 %s {} $1 ?1 :a",
    "x" * 4096,
    "\u00e9" * 2048,
]


@pytest.mark.parametrize("promise_id", IDS, ids=ascii)
async def test_an_id_can_be_any_text(stores, promise_id):
    one = targeted(promise_id, callbacks=(promise_id,), timeout_at=9)
    async with stores.open() as store:
        await put(store, one)
        assert await get(store, promise_id) == one
        assert set(await store.snapshot()) == {promise_id}
        assert await store.due(-1, 9, 9) == [(9, promise_id)]


async def test_ids_differ_when_their_code_points_do(stores):
    async with stores.open() as store:
        await put(store, *(promise(each, timeout_at=number) for number, each in enumerate(IDS)))
        seen = await look(store, IDS)
        assert [each.timeout_at for each in seen.values()] == list(range(len(IDS)))


async def test_ids_are_ordered_by_code_point(stores):
    async with stores.open() as store:
        await put(store, *(targeted(each, acquired("p", 9)) for each in IDS))
        assert [each.id for each in await store.held("", 99)] == sorted(IDS)


async def test_an_id_with_a_null_byte_does_not_exist(stores):
    """Such a promise is refused at the door, but it may be asked for."""
    async with stores.open() as store:
        await put(store, promise("a"), promise("b", callbacks=("a\x00",)))
        assert await look(store, ["a\x00", "\x00", "a"]) == {
            "a\x00": None,
            "\x00": None,
            "a": promise("a"),
        }


TEXTS = ["", "x", "\x00", "a\x00b", "\u2028", "\U0001f600", '"', "\\", "\x1f\x7f", "</script>"]


async def test_values_tags_and_headers_can_hold_any_text(stores):
    strings = dict(zip(TEXTS, reversed(TEXTS), strict=True))
    one = promise(
        "a",
        state="resolved",
        tags=strings,
        param=Value(strings, "\x00p"),
        value=Value(strings, "v\x00"),
    )
    async with stores.open() as store:
        await put(store, one)
        assert await get(store, "a") == one
        assert await store.snapshot() == {"a": one}


@pytest.mark.parametrize("empty", [Value(), Value({}), Value({}, ""), Value(None, "")])
async def test_an_empty_value_stays_as_empty_as_it_was(stores, empty):
    one = promise("a", param=empty, value=empty, state="resolved")
    async with stores.open() as store:
        await put(store, one)
        found = await get(store, "a")
        assert (found.param, found.value) == (empty, empty)


async def test_tags_keep_their_order_and_number(stores):
    tags = {f"k{number}": str(number) for number in reversed(range(TAGS_MAX))}
    async with stores.open() as store:
        await put(store, promise("a", tags=tags))
        assert list((await get(store, "a")).tags.items()) == list(tags.items())


@pytest.mark.parametrize(
    "key", ["resonate:target", 'resonate:"target"', "$.resonate:target", "a.b"]
)
async def test_odd_tags_beside_the_target_do_not_hide_it(stores, key):
    tags = {key: "decoy", TARGET: "poll://any@g/p"}
    async with stores.open() as store:
        await put(store, targeted("a", tags=tags))
        assert [each.target for each in await store.ready(ROUTE, (-1, ""), 1, 9)] == [
            "poll://any@g/p"
        ]


async def test_instants_and_versions_can_be_extreme(stores):
    top = INT64_MAX
    task = Task("acquired", top, "p", top, top, None)
    one = targeted("a", task, timeout_at=top, created_at=top)
    two = targeted("b", Task("pending", 0, retry_at=top), timeout_at=top, created_at=0)
    three = promise(
        "c", state="resolved", timeout_at=0, created_at=0, settled_at=0, callbacks=("a",)
    )
    async with stores.open() as store:
        await put(store, one, two, three)
        assert await look(store, "abc") == {"a": one, "b": two, "c": three}
        assert await store.snapshot() == {"a": one, "b": two, "c": three}
        assert sorted(await store.due(0, top, 9)) == [
            (top, "a"),
            (top, "a"),
            (top, "b"),
            (top, "b"),
        ]
        assert [each.id for each in await store.ready(ROUTE, (-1, ""), top - 1, 9)] == []
        assert [each.id for each in await store.obligations((-1, ""), 9)] == ["c"]


async def test_values_can_be_several_megabytes(stores):
    big = "\x01\u20ac\U0001f600x" * 400_000
    one = promise("a", param=value(big), value=value(big[::-1]), state="resolved")
    async with stores.open() as store:
        await put(store, one)
        assert await get(store, "a") == one
        assert (await store.snapshot())["a"] == one


async def test_one_commit_can_be_larger_than_one_statement(stores, monkeypatch):
    """Many large values decided while one commit is under way go into the next one together."""
    monkeypatch.setattr("resonate.store.sqlite.writer._CHUNK_BYTES_MAX", 100_000)
    every = [promise(str(number), param=value(str(number) * 20_000)) for number in range(30)]
    async with stores.open() as store:
        await asyncio.gather(*(put(store, each) for each in every))
        assert await store.snapshot() == {each.id: each for each in every}
        assert await look(store, [each.id for each in every]) == {each.id: each for each in every}


async def test_callbacks_and_listeners_can_be_many(stores):
    many = tuple(f"{number}" for number in range(5_000))
    task = Task("halted", 1, resumes=many)
    one = targeted("a", task, callbacks=many, listeners=many)
    async with stores.open() as store:
        await put(store, one)
        assert await get(store, "a") == one
        assert await store.snapshot() == {"a": one}


async def test_every_state_of_promise_and_task_can_be_kept(stores):
    tasks = [
        Task("pending", 0, retry_at=1, resumes=("x",)),
        Task("acquired", 1, "p", 5, 9, resumes=("x", "y")),
        Task("suspended", 1),
        Task("halted", 2, resumes=("x",)),
    ]
    states = ["resolved", "rejected", "rejected_canceled", "rejected_timedout"]
    every: list[Promise] = [targeted(f"t{n}", task) for n, task in enumerate(tasks)]
    every += [targeted(each, Task("fulfilled", 1), state=each) for each in states]
    every += [promise(f"no task {each}", state=each) for each in states]
    async with stores.open() as store:
        await put(store, *every)
        assert await store.snapshot() == {each.id: each for each in every}
        assert list((await look(store, [each.id for each in every])).values()) == every
