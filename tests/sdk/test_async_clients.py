"""The clients of promises and schedules, on an event loop: the same records, awaited."""

from __future__ import annotations

import inspect

import pytest

from resonate import AsyncResonate, Resonate
from resonate.errors import RemoteError, ResonateStoreError
from resonate.sdk.async_promises import AsyncPromises
from resonate.sdk.async_schedules import AsyncSchedule, AsyncSchedules
from resonate.sdk.promises import DurablePromise, Promises
from resonate.sdk.schedules import Schedule, Schedules

YEARS = 2**50


def arguments(function):
    return [
        each.replace(annotation=None) for each in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [(Promises, AsyncPromises), (Schedules, AsyncSchedules), (Resonate, AsyncResonate)],
)
def test_both_have_the_same_methods_with_the_same_arguments(one, other):
    names = [each for each in dir(one) if not each.startswith("_")]
    assert names == [each for each in dir(other) if not each.startswith("_")]
    for name in [*names, "__init__"]:
        method = getattr(one, name)
        if callable(method) and not (one is not Resonate and name == "__init__"):
            assert arguments(method) == arguments(getattr(other, name)), name


async def test_promises_are_made_settled_and_read():
    async with AsyncResonate.local() as resonate:
        promises = resonate.promises
        made = await promises.create("a", YEARS, headers={"h": "1"}, data="2", tags={"t": "3"})
        assert isinstance(made, DurablePromise)
        assert (made.pending, made.param.data, made.tags) == (True, "2", {"t": "3"})
        assert await promises.get("a") == made
        assert (await promises.resolve("a", data="42")).resolved
        assert await (await resonate.get("a")) == 42
        await promises.create("b", YEARS)
        assert (await promises.reject("b", data='"no"')).rejected
        with pytest.raises(RemoteError, match="no"):
            await (await resonate.get("b"))
        await promises.create("c", YEARS)
        assert (await promises.cancel("c")).canceled


async def test_promises_are_found_page_by_page():
    async with AsyncResonate.local() as resonate:
        for number in range(5):
            await resonate.promises.create(f"p{number}", YEARS)
        page = await resonate.promises.search(limit=2, counts=True)
        assert ([each.id for each in page.promises], page.counts["pending"]) == (["p0", "p1"], 5)
        found = [each.id async for each in resonate.promises.search_all(limit=2)]
        assert found == [f"p{number}" for number in range(5)]


async def test_what_cannot_be_is_refused_as_by_the_other():
    async with AsyncResonate.local() as resonate:
        with pytest.raises(TypeError, match=r"^id must be `str`, got int$"):
            await resonate.promises.get(5)
        with pytest.raises(TypeError, match="data must be `str"):
            await resonate.promises.resolve("a", data=5)
        with pytest.raises(ValueError, match="state must be one of"):
            await resonate.promises.search(state="gone")
        with pytest.raises(TypeError, match="has no filter"):
            await resonate.schedules.search(state="pending")
        with pytest.raises(TypeError, match="promise_timeout_ms must be `int`"):
            await resonate.schedules.create("s", "0 0 1 1 *", "p", 1.5)
        for call in (resonate.promises.get, resonate.schedules.get, resonate.schedules.delete):
            with pytest.raises(ResonateStoreError) as caught:
                await call("nothing")
            assert caught.value.code == 404


async def test_schedules_are_made_found_and_deleted():
    async with AsyncResonate.local() as resonate:
        schedules = resonate.schedules
        made = await schedules.create("s1", "0 0 1 1 *", "p", 1000, promise_tags={"a": "b"})
        assert isinstance(made, AsyncSchedule)
        assert isinstance(made, Schedule)
        assert (made.cron, made.promise_tags) == ("0 0 1 1 *", {"a": "b"})
        assert await schedules.get("s1") == made
        await schedules.create("s2", "0 0 1 1 *", "p", 1000)
        page = await schedules.search(limit=1)
        assert [each.id for each in page.schedules] == ["s1"]
        assert page.cursor is not None
        async for each in schedules.search_all(limit=1):
            await each.delete()
        assert (await schedules.search()).schedules == ()


async def test_a_function_is_called_on_a_schedule():
    async with AsyncResonate.local() as resonate:

        @resonate.register
        async def add(ctx, one, other=0):
            return one + other

        made = await resonate.schedule("s", add, "* * * * * *", 1, other=2)
        assert await resonate.schedule("s", "add", "* * * * * *", 1, other=2) == made
        with pytest.raises(ResonateStoreError, match="its arguments differ") as caught:
            await resonate.schedule("s", add, "* * * * * *", 3)
        assert caught.value.code == 409
        await made.delete()
