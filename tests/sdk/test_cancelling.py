"""What is canceled along with a call: all that was begun for it, wherever that is, and no more."""

from __future__ import annotations

import asyncio

import pytest

from resonate import Resonate
from resonate.errors import ResonateCanceledError
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
