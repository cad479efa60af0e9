"""A user's program: mypy, in strict mode, must find in it exactly the types that are said here.

It is checked and not run. A wrong call must be an error: those lines carry a ``type: ignore`` with
the error's code, and mypy complains of one that is not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, assert_type

from resonate import Context, Function, Handle, Resonate
from resonate.errors import RemoteError, ResonateError, ResonateStoreError

resonate = Resonate.remote(group="workers", ttl=10, concurrency=4, token="secret")
local = Resonate.local()
either = Resonate("http://localhost:8001", patience=5)


# --- registering: bare, with arguments, by a call ---------------------------------------------------


@resonate.register
def greet(ctx: Context, name: str, *, times: int = 1) -> str:
    ctx.logger.info("greeting %s", name)
    assert_type(ctx.id, str)
    assert_type(ctx.info.attempt, int)
    assert_type(ctx.get_dependency("db"), Any)
    return name * times


@resonate.register(name="count", version=2)
def count_letters(ctx: Context, text: str) -> int:
    return len(text)


@resonate.register
async def fetch(ctx: Context, url: str) -> list[str]:
    await asyncio.sleep(0)
    return [url]


@resonate.register()
async def pause(_: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)


def plain(ctx: Context, number: int) -> float:
    return number / 2


async def plain_async(ctx: Context, number: int) -> float:
    return number / 2


@resonate.register
def steps(ctx: Context, text: str) -> Generator[Any, Any, bool]:
    return bool((yield ctx.run(plain, len(text))))


registered = resonate.register(plain, name="half")

assert_type(greet.name, str)
half: Function[[int], float] = registered
assert_type(greet.options(timeout=5).options(tags={"a": "b"}).rpc("id", "Ada"), str)


def calls_the_function_itself(ctx: Context) -> None:
    assert_type(greet(ctx, "Ada", times=2), str)
    assert_type(count_letters(ctx, "Ada"), int)


# --- calling by the registered function -------------------------------------------------------------

assert_type(greet.run("id", "Ada", times=2), str)
assert_type(greet.rpc("id", "Ada"), str)
assert_type(greet.begin_run("id", "Ada"), Handle[str])
assert_type(greet.begin_rpc("id", "Ada", times=3), Handle[str])
assert_type(fetch.run("id", "url"), list[str])
assert_type(fetch.rpc("id", "url"), list[str])
assert_type(fetch.begin_run("id", "url"), Handle[list[str]])
assert_type(fetch.begin_rpc("id", "url"), Handle[list[str]])
assert_type(pause.begin_rpc("id", 0.5), Handle[None])
assert_type(steps.run("id", "text"), bool)
assert_type(steps.rpc("id", "text"), bool)
assert_type(steps.begin_run("id", "text"), Handle[bool])
assert_type(steps.begin_rpc("id", "text"), Handle[bool])

# --- calling through the client ---------------------------------------------------------------------

assert_type(resonate.run("id", greet, "Ada", times=2), str)
assert_type(resonate.rpc("id", greet, "Ada"), str)
assert_type(resonate.begin_run("id", greet, "Ada"), Handle[str])
assert_type(resonate.begin_rpc("id", greet, "Ada"), Handle[str])
assert_type(resonate.begin_rpc("id", count_letters, "Ada"), Handle[int])
assert_type(resonate.run("id", fetch, "url"), list[str])
assert_type(resonate.begin_rpc("id", fetch, "url"), Handle[list[str]])
assert_type(resonate.rpc("id", plain, 1), float)
assert_type(resonate.begin_rpc("id", plain, 1), Handle[float])
assert_type(resonate.run("id", plain_async, 1), float)
assert_type(resonate.begin_run("id", plain_async, 1), Handle[float])
assert_type(resonate.run("id", steps, "text"), bool)
assert_type(resonate.rpc("id", steps.func, "text"), bool)
assert_type(resonate.begin_run("id", steps, "text"), Handle[bool])
assert_type(resonate.begin_rpc("id", steps, "text"), Handle[bool])

# --- by name: anything goes, nothing is known -------------------------------------------------------

assert_type(resonate.run("id", "greet", 1, 2, key=3), Any)
assert_type(resonate.rpc("id", "greet"), Any)
assert_type(resonate.begin_run("id", "greet"), Handle[Any])
assert_type(resonate.begin_rpc("id", "greet", [1], key={}), Handle[Any])
assert_type(resonate.get("id"), Handle[Any])
assert_type(resonate.options(target="poll://any@workers", version=2, timeout=1.5), Resonate)

# --- wrong calls are found --------------------------------------------------------------------------

greet.rpc("id")  # type: ignore[call-arg]
greet.rpc("id", 5)  # type: ignore[arg-type]
greet.begin_rpc("id", "Ada", time=2)  # type: ignore[call-arg]
fetch.run("id", url=5)  # type: ignore[call-overload]
steps.rpc("id", 5)  # type: ignore[call-overload]
resonate.rpc("id", greet, 5)  # type: ignore[call-overload]
resonate.begin_rpc("id", plain)  # type: ignore[call-overload]
resonate.begin_rpc(5, "greet")  # type: ignore[call-overload]
resonate.options(tags=["a"])  # type: ignore[arg-type]
resonate.register("greet")  # type: ignore[call-overload]


# --- handles and errors -----------------------------------------------------------------------------


async def main() -> None:
    handle = greet.begin_rpc("id", "Ada")
    assert_type(handle.id, str)
    assert_type(handle.done(), bool)
    assert_type(handle.result(), str)
    assert_type(handle.result(timeout=5), str)
    assert_type(handle.cancel(), bool)
    assert_type(await handle, str)
    assert_type(await fetch.begin_rpc("id", "url"), list[str])
    assert_type(await asyncio.gather(handle, resonate.begin_rpc("id", plain, 1)), tuple[str, float])
    try:
        await handle
    except RemoteError as error:
        assert_type(error.type, str)
        assert_type(error.message, str)
        assert_type(error.traceback, str | None)
    except ResonateStoreError as error:
        assert_type(error.code, int)
    except ResonateError:
        pass


if __name__ == "__main__":
    resonate.set_dependency("db", object())
    resonate.start()
    asyncio.run(main())
    resonate.stop(timeout=5)
    local.run_until_signal()
