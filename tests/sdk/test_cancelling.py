"""What is canceled along with a call: all that was begun for it, wherever that is, and no more."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from resonate import Resonate
from resonate.errors import ResonateCanceledError, ResonateTimedoutError
from tests.processes.children import until


def pending(resonate, *ids):
    """Tell whether there are these promises."""
    found = {each.id for each in resonate.promises.search_all(state="pending")}
    return set(ids) <= found


def states(resonate, *ids):
    return [resonate.promises.get(each).state for each in ids]


def test_cancel_reaches_the_function_and_its_attached_children(make):
    local = make(Resonate.local(ttl=1))
    seen = []

    async def child(ctx):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(("child", ctx.cancelled))
            raise

    async def body(ctx):
        try:
            await asyncio.gather(ctx.rpc("child"), asyncio.sleep(30))
        except asyncio.CancelledError:
            seen.append(("body", ctx.cancelled))
            raise

    local.register(child)
    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: list(local.promises.search_all(id_prefix="id.1")))
    assert handle.cancel() is True
    with pytest.raises(ResonateCanceledError):
        handle.result(5)
    assert local.promises.get("id.1").canceled
    until(lambda: len(seen) == 2)
    assert sorted(seen) == [("body", True), ("child", True)]
    assert handle.cancel() is False


def test_cancel_leaves_detached_calls_alone(local):
    def body(ctx):
        yield ctx.detached("nobody").options(target="nowhere")
        yield ctx.rpc("nobody").options(target="nowhere")

    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: list(local.promises.search_all(id_prefix="id.2")))
    handle.cancel()
    assert local.promises.get("id.1").pending
    assert local.promises.get("id.2").canceled


def test_cancel_leaves_what_a_detached_call_has_begun_alone(local):
    def child(ctx):
        yield ctx.sleep(60)

    def body(ctx):
        yield ctx.detached("child")
        yield ctx.begin_rpc("child")
        yield ctx.sleep(60)

    local.register(child)
    local.register(body, name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: all(list(local.promises.search_all(id_prefix=f"id.{n}.1")) for n in (1, 2)))
    handle.cancel()
    states = {each.id: each.state for each in local.promises.search_all(id_prefix="id.")}
    assert [states["id.1"], states["id.1.1"]] == ["pending", "pending"]
    assert {states["id.2"], states["id.2.1"], states["id.3"]} == {"rejected_canceled"}


@pytest.mark.parametrize("how", ["cancel", "resolve"])
def test_what_ended_elsewhere_is_forgotten_here(local, how, monkeypatch):
    monkeypatch.setattr("resonate.sdk.suspensions._LOOK_SECONDS", 0.05)
    closed = []

    def body(ctx):
        try:
            yield ctx.rpc("nobody").options(id="own", target="nowhere")
        finally:
            closed.append(ctx.cancelled)

    local.register(body, name="body")
    local.start()
    local.begin_rpc("id", "body")
    suspensions = local._shared.client._worker._suspensions
    until(lambda: len(suspensions))
    getattr(local.promises, how)("id")
    until(lambda: closed)
    assert closed == [True]
    assert len(suspensions) == 0
    until(lambda: local.promises.get("own").canceled is (how == "cancel"))


# --- children with ids of their own ---------------------------------------------------------------


def gen_parent(ctx, named, target):
    yield ctx.begin_rpc(named).options(id=f"{ctx.id}+1", target=target)
    yield ctx.begin_run(sleeps).options(id=f"{ctx.id}+2")
    yield ctx.begin_rpc(named).options(target=target)
    yield ctx.promise()


async def co_parent(ctx, named, target):
    await ctx.begin_rpc(named).options(id=f"{ctx.id}+1", target=target)
    await ctx.begin_run(sleeps).options(id=f"{ctx.id}+2")
    await ctx.begin_rpc(named).options(target=target)
    await ctx.promise()


def plain_parent(ctx, named, target):
    ctx.begin_rpc(named).options(id=f"{ctx.id}+1", target=target).result()
    ctx.begin_run(sleeps).options(id=f"{ctx.id}+2").result()
    ctx.begin_rpc(named).options(target=target).result()
    ctx.promise().result()


def sleeps(ctx):
    yield ctx.sleep(60)


PARENTS = {"gen": gen_parent, "co": co_parent, "plain": plain_parent}
FAMILY = ("", "+1", "+1.1", "+2", "+2.1", ".3", ".3.1", ".4")


@pytest.fixture
def family(group):
    return [f"{group}-id{each}" for each in FAMILY]


@pytest.fixture
def workers(remote, group):
    """Two workers, of a group each, that have all of these functions."""
    found = [remote(ttl=1), remote(group=f"{group}-2", ttl=1)]
    for worker in found:
        for name, parent in PARENTS.items():
            worker.register(parent, name=name)
        worker.register(sleeps)
        worker.start()
    return found


@pytest.fixture
def caller(remote, group):
    return remote(group=f"{group}-c").options(target=group)


@pytest.mark.parametrize("gone", [False, True], ids=["alive", "gone"])
@pytest.mark.parametrize("parent", PARENTS)
def test_cancel_reaches_children_whatever_their_ids_and_whoever_began_them(
    workers, caller, group, family, parent, gone
):
    handle = caller.begin_rpc(family[0], parent, "sleeps", f"{group}-2")
    until(lambda: pending(caller, *family), 20)
    if gone:
        for worker in workers:
            worker.stop(0)
    assert handle.cancel() is True
    assert states(caller, *family) == ["rejected_canceled"] * len(family)
    assert handle.cancel() is False


def test_cancel_of_a_part_of_a_tree_leaves_the_rest_alone(workers, caller, group, family):
    caller.begin_rpc(family[0], "gen", "sleeps", f"{group}-2")
    until(lambda: pending(caller, *family), 20)
    part = [each for each in family if each.startswith(f"{family[0]}+1")]
    assert caller.get(part[0]).cancel() is True
    for each in family:
        assert caller.promises.get(each).canceled is (each in part)


@pytest.mark.parametrize("parent", PARENTS)
def test_a_call_that_somebody_else_began_goes_on(workers, caller, group, family, parent):
    caller.begin_rpc(family[1], "sleeps")
    caller.begin_rpc(family[0], parent, "sleeps", f"{group}-2")
    until(lambda: pending(caller, *family), 20)
    caller.get(family[0]).cancel()
    assert states(caller, *family[:3]) == ["rejected_canceled", "pending", "pending"]
    caller.get(family[1]).cancel()


@pytest.mark.parametrize("parent", PARENTS)
def test_what_was_canceled_alone_is_canceled_with_its_children(
    workers, caller, group, family, parent, monkeypatch
):
    monkeypatch.setattr("resonate.sdk.suspensions._LOOK_SECONDS", 0.05)
    caller.begin_rpc(family[0], parent, "sleeps", f"{group}-2")
    until(lambda: pending(caller, *family), 20)
    caller.promises.cancel(family[0])
    until(lambda: states(caller, *family) == ["rejected_canceled"] * len(family))


def test_a_running_function_that_was_canceled_alone_is_canceled_with_its_children(
    workers, caller, group, family
):
    async def busy(ctx):
        await ctx.begin_rpc("sleeps").options(id=family[1], target=f"{group}-2")
        await asyncio.sleep(30)

    workers[0].register(busy)
    caller.begin_rpc(family[0], "busy")
    until(lambda: pending(caller, *family[:3]), 20)
    caller.promises.cancel(family[0])
    until(lambda: states(caller, *family[:3]) == ["rejected_canceled"] * 3)


@pytest.mark.parametrize("parent", PARENTS)
def test_a_call_that_is_awaited_no_longer_is_canceled_with_its_children(
    workers, caller, group, family, parent
):
    async def impatient(ctx):
        call = ctx.rpc(parent, "sleeps", f"{group}-2").options(id=family[0], target=f"{group}-2")
        waiting = asyncio.ensure_future(call)
        await (await ctx.promise(id=f"{group}-over"))
        waiting.cancel()
        return "over"

    workers[0].register(impatient)
    handle = caller.begin_rpc(f"{group}-top", "impatient")
    until(lambda: pending(caller, *family, f"{group}-over"), 20)
    workers[1].stop(0)
    caller.promises.resolve(f"{group}-over")
    assert handle.result(10) == "over"
    until(lambda: states(caller, *family) == ["rejected_canceled"] * len(family))


# --- steps whose functions run in the same process ------------------------------------------------


class Steps:
    """Functions that go on until they are told not to, and say how they were."""

    def __init__(self):
        self.begun = threading.Event()
        self.told = []

    def plain(self, ctx):
        self.begun.set()
        until(lambda: ctx.cancelled, 20)
        self.told.append("cancelled")

    async def co(self, ctx):
        self.begun.set()
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise

    def gen(self, ctx):
        self.begun.set()
        try:
            yield ctx.sleep(20)
        finally:
            self.told.append("cancelled")

    def waits(self, ctx):
        yield ctx.run(self.gen)


@pytest.fixture
def steps():
    return Steps()


def gen_waits(ctx, step, options):
    try:
        yield ctx.run(step).options(**options)
    except (ResonateCanceledError, ResonateTimedoutError) as error:
        return type(error).__name__


async def co_waits(ctx, step, options):
    try:
        await ctx.run(step).options(**options)
    except (ResonateCanceledError, ResonateTimedoutError) as error:
        return type(error).__name__


def plain_waits(ctx, step, options):
    try:
        ctx.run(step).options(**options).result()
    except (ResonateCanceledError, ResonateTimedoutError) as error:
        return type(error).__name__


WAITING = {"gen": gen_waits, "co": co_waits, "plain": plain_waits}


@pytest.mark.parametrize("step", ["plain", "co", "gen", "waits"])
@pytest.mark.parametrize("body", WAITING)
def test_a_step_that_was_canceled_ends_and_its_function_goes_on(local, steps, body, step):
    func = WAITING[body]
    local.register(lambda ctx: func(ctx, getattr(steps, step), {}), name="body")
    local.start()
    handle = local.begin_rpc("id", "body")
    steps.begun.wait(10)
    assert local.get("id.1").cancel()
    assert handle.result(10) == "ResonateCanceledError"
    until(lambda: steps.told == ["cancelled"])


@pytest.mark.parametrize("step", ["plain", "co", "gen", "waits"])
@pytest.mark.parametrize("body", WAITING)
def test_the_deadline_of_a_step_ends_it_and_its_function_goes_on(local, steps, body, step):
    func = WAITING[body]
    options = {"timeout": 0.3}
    local.register(lambda ctx: func(ctx, getattr(steps, step), options), name="body")
    local.start()
    assert local.begin_rpc("id", "body").result(10) == "ResonateTimedoutError"
    until(lambda: steps.told == ["cancelled"])


def test_a_step_that_ends_by_itself_before_it_is_heard_of_is_no_news(local, monkeypatch):
    for seconds in ("_SECONDS", "_LONG_SECONDS"):
        monkeypatch.setattr(f"resonate.sdk.listening.{seconds}", 0.01)

    def body(ctx):
        found = []
        for _ in range(20):
            found.append((yield ctx.run(lambda ctx: time.sleep(0.03) or ctx.id)))
        return found

    local.register(body)
    assert local.run("id", "body") == [f"id.{n}" for n in range(1, 21)]


def canceled_with_its_step(seen):
    """Return functions that keep their lease while they await a step; they say what they saw."""

    def note(ctx, error):
        seen.append((type(error).__name__, ctx.cancelled))

    def gen(ctx):
        yield ctx.begin_run(Steps().plain)
        try:
            yield ctx.rpc("sleeps")
        except BaseException as error:
            note(ctx, error)
            raise

    async def co(ctx):
        await ctx.begin_run(Steps().plain)
        try:
            await ctx.rpc("sleeps")
        except BaseException as error:
            note(ctx, error)
            raise

    def plain(ctx):
        ctx.begin_run(Steps().plain).result()
        try:
            ctx.rpc("sleeps").result()
        except BaseException as error:
            note(ctx, error)
            raise

    def nested(ctx):
        yield ctx.run(gen)

    return {"gen": gen, "co": co, "plain": plain, "nested": nested}


@pytest.mark.parametrize("body", ["gen", "co", "plain", "nested"])
def test_a_canceled_function_is_not_told_of_its_steps_as_if_it_went_on(make, body):
    local = make(Resonate.local(ttl=1))
    seen = []
    local.register(canceled_with_its_step(seen)[body], name="body")
    local.register(sleeps)
    local.start()
    for number in range(10):
        handle = local.begin_rpc(f"id{number}", "body")
        called = f"id{number}.1.2.1" if body == "nested" else f"id{number}.2.1"
        until(lambda called=called: pending(local, called))
        threading.Event().wait(0.15)  # it listens for what it awaits
        assert handle.cancel()
        until(lambda number=number: len(seen) > number)
    assert {error for error, _ in seen}.isdisjoint({"ResonateCanceledError"})
    assert {cancelled for _, cancelled in seen} == {True}


def test_a_step_canceled_along_with_a_local_function_is_not_told_it(local):
    seen = []

    async def inner(ctx):
        await ctx.begin_run(Steps().plain)
        try:
            await ctx.rpc("sleeps")
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def body(ctx):
        try:
            await ctx.run(inner)
        except ResonateCanceledError:
            return "went on"

    local.register(body)
    local.register(sleeps)
    local.start()
    handle = local.begin_rpc("id", "body")
    until(lambda: pending(local, "id.1.2.1"))
    threading.Event().wait(0.15)  # it listens for what it awaits
    assert local.get("id.1").cancel()
    assert handle.result(10) == "went on"
    until(lambda: seen == ["CancelledError"])
