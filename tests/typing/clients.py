"""The clients of promises and schedules, blocking and awaited; see ``api.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal, assert_type

from resonate import AsyncResonate, Context, Resonate
from resonate.sdk.async_promises import AsyncPromises
from resonate.sdk.async_schedules import AsyncSchedule, AsyncSchedulePage, AsyncSchedules
from resonate.sdk.promises import DurablePromise, PromisePage, Promises
from resonate.sdk.schedules import Schedule, SchedulePage, Schedules

resonate = Resonate.local()
awaited = AsyncResonate.local()
State = Literal["pending", "resolved", "rejected", "rejected_canceled", "rejected_timedout"]


def plain(ctx: Context, number: int, *, times: int = 1) -> float:
    return number / 2 * times


# --- promises ---------------------------------------------------------------------------------------

assert_type(resonate.promises, Promises)
made = resonate.promises.create("id", 2**40, headers={"a": "b"}, data="1", tags={"c": "d"})
assert_type(made, DurablePromise)
assert_type(made.state, State)
assert_type(made.timeout, int)
assert_type(made.completed_on, int | None)
assert_type(made.param.data, str | None)
assert_type(made.value.headers, dict[str, str])
assert_type(made.resolved, bool)
assert_type(resonate.promises.get("id"), DurablePromise)
assert_type(resonate.promises.resolve("id", data="42"), DurablePromise)
assert_type(resonate.promises.reject("id", headers={}), DurablePromise)
assert_type(resonate.promises.cancel("id"), DurablePromise)
assert_type(resonate.promises.search(state="pending", limit=5, counts=True), PromisePage)
assert_type(resonate.promises.search().promises, tuple[DurablePromise, ...])
assert_type(resonate.promises.search().cursor, str | None)
assert_type(resonate.promises.search_all(order="newest"), Iterator[DurablePromise])

resonate.promises.create("id")  # type: ignore[call-arg]
resonate.promises.create("id", 1.5)  # type: ignore[arg-type]
resonate.promises.resolve("id", data=42)  # type: ignore[arg-type]
resonate.promises.resolve("id", "42")  # type: ignore[call-arg, arg-type]
resonate.promises.search(state="gone")  # type: ignore[arg-type]
resonate.promises.search(order="oldest first")  # type: ignore[arg-type]
resonate.promises.search(group="a")  # type: ignore[call-arg]
made.state = "resolved"  # type: ignore[misc]

# --- schedules --------------------------------------------------------------------------------------

assert_type(resonate.schedules, Schedules)
assert_type(resonate.schedule("s", plain, "0 9 * * MON-FRI", 1, times=2), Schedule)
assert_type(resonate.schedule("s", "plain", "@daily", "any", key=1), Schedule)
assert_type(resonate.schedules.create("s", "@daily", "{{.id}}", 1000), Schedule)
assert_type(resonate.schedules.get("s").next_runtime, int)
assert_type(resonate.schedules.get("s").last_runtime, int | None)
assert_type(resonate.schedules.search(id_prefix="s"), SchedulePage)
assert_type(resonate.schedules.search_all(limit=5), Iterator[Schedule])
resonate.schedules.get("s").delete()

resonate.schedule("s", plain, "@daily")  # type: ignore[call-overload]
resonate.schedule("s", plain, "@daily", "1")  # type: ignore[call-overload]
resonate.schedule("s", plain, 5, 1)  # type: ignore[call-overload]
resonate.schedules.create("s", "@daily", "p")  # type: ignore[call-arg]
resonate.schedules.search(state="pending")  # type: ignore[call-arg]


# --- the same, awaited ------------------------------------------------------------------------------


async def promises() -> None:
    assert_type(awaited.promises, AsyncPromises)
    assert_type(await awaited.promises.create("id", 2**40, data="1"), DurablePromise)
    assert_type(await awaited.promises.get("id"), DurablePromise)
    assert_type(await awaited.promises.resolve("id", data="42"), DurablePromise)
    assert_type(await awaited.promises.reject("id"), DurablePromise)
    assert_type(await awaited.promises.cancel("id"), DurablePromise)
    assert_type(await awaited.promises.search(state="pending"), PromisePage)
    assert_type(awaited.promises.search_all(limit=5), AsyncIterator[DurablePromise])
    assert_type([each.id async for each in awaited.promises.search_all()], list[str])
    await awaited.promises.resolve("id", data=42)  # type: ignore[arg-type]
    await awaited.promises.search(state="gone")  # type: ignore[arg-type]
    for _ in awaited.promises.search_all():  # type: ignore[attr-defined]
        pass


async def schedules() -> None:
    assert_type(awaited.schedules, AsyncSchedules)
    made = await awaited.schedule("s", plain, "@daily", 1, times=2)
    assert_type(made, AsyncSchedule)
    assert_type(made.cron, str)
    assert_type(await awaited.schedule("s", "plain", "@daily", "any"), AsyncSchedule)
    assert_type(await awaited.schedules.create("s", "@daily", "p", 1000), AsyncSchedule)
    assert_type(await awaited.schedules.get("s"), AsyncSchedule)
    assert_type(await awaited.schedules.search(), AsyncSchedulePage)
    assert_type(awaited.schedules.search_all(), AsyncIterator[AsyncSchedule])
    await made.delete()
    await awaited.schedules.delete("s")
    await awaited.schedule("s", plain, "@daily", "1")  # type: ignore[call-overload]
    await awaited.schedule("s", plain, "@daily")  # type: ignore[call-overload]
