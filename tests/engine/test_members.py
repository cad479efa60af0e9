"""Members, groups and holders: who takes the next task."""

from __future__ import annotations

import pytest

from resonate.core.objects import Task
from resonate.engine.holders import Holders
from resonate.engine.members import Directory, Member, Terms
from tests.store.stores import acquired, targeted


@pytest.fixture
def directory():
    return Directory()


def join(directory, pid, group="g", capacity=3, **terms):
    member = Member(group, pid, Terms(capacity=capacity, **terms), None)
    directory.add(member)
    return member


def load(directory, member, held):
    member.held = held
    directory.place(member)


def pick(directory, *, avoid=(), function=None):
    member = directory.groups["g"].pick(function, avoid)
    return member and member.pid


def test_the_least_loaded_is_next(directory):
    for pid, held in (("a", 2), ("b", 0), ("c", 1)):
        load(directory, join(directory, pid), held)
    assert pick(directory) == "b"


def test_offers_count_as_load(directory):
    a, b = join(directory, "a"), join(directory, "b")
    a.offers["t"] = 0
    directory.place(a)
    assert (a.load, b.load) == (1, 0)
    assert pick(directory) == "b"


def test_among_equals_the_one_that_waited_longest_is_next(directory):
    members = [join(directory, each) for each in "abc"]
    order = []
    for _ in range(6):
        order.append(pick(directory))
        member = next(each for each in members if each.pid == order[-1])
        load(directory, member, member.held + 1)
        load(directory, member, member.held - 1)
    assert "".join(order) == "abcabc"


@pytest.mark.parametrize("why", ["full", "suspect", "paused"])
def test_a_member_that_takes_nothing_is_never_picked(directory, why):
    member = join(directory, "a", capacity=2)
    if why == "full":
        member.held = 2
    else:
        setattr(member, why, True)
    directory.place(member)
    assert not member.free
    assert pick(directory) is None
    member.held, member.suspect, member.paused = 0, False, False
    directory.place(member)
    assert pick(directory) == "a"


def test_avoided_only_while_there_is_another(directory):
    join(directory, "a")
    assert pick(directory, avoid={"a"}) == "a"
    other = join(directory, "b")
    load(directory, other, 2)
    assert pick(directory, avoid={"a"}) == "b"
    load(directory, other, 3)
    assert pick(directory, avoid={"a"}) == "a"
    group = directory.groups["g"]
    assert not group.has_other("a", None)
    assert group.has_other("b", None)


def test_a_function_goes_to_who_can_run_it_or_did_not_say(directory):
    load(directory, join(directory, "f", functions=frozenset({"f"})), 1)
    load(directory, join(directory, "fg", functions=frozenset({"f", "g"})), 2)
    assert [pick(directory, function=each) for each in ("f", "g", "h", None)] == [
        "f",
        "fg",
        None,
        "f",
    ]
    assert pick(directory, function="f", avoid={"f"}) == "fg"
    join(directory, "any")
    assert [pick(directory, function=each) for each in ("f", "h")] == ["any", "any"]
    group = directory.groups["g"]
    directory.remove(group.members["any"])
    assert [group.can_run(each) for each in ("f", "h", None)] == [True, False, True]
    assert group.has_other("f", "f")
    assert not group.has_other("fg", "g")
    directory.remove(group.members["fg"])
    assert not group.can_run("g")


def test_among_equals_of_several_crews_the_one_that_waited_longest_is_next(directory):
    members = [join(directory, each, functions=frozenset({"f", each})) for each in "abc"]
    order = []
    for _ in range(6):
        order.append(pick(directory, function="f"))
        member = next(each for each in members if each.pid == order[-1])
        load(directory, member, member.held + 1)
        load(directory, member, member.held - 1)
    assert "".join(order) == "abcabc"


def test_who_only_listens_runs_nothing(directory):
    join(directory, "caller", capacity=0)
    group = directory.groups["g"]
    assert not group.works
    assert not group.can_run("f")
    assert not group.has_fresh(None, ())


def test_who_left_offers_unanswered_comes_last(directory):
    mute, busy = join(directory, "a"), join(directory, "b")
    mute.unanswered = 1
    directory.place(mute)
    load(directory, busy, 2)
    assert pick(directory) == "b"
    load(directory, busy, 3)
    assert pick(directory) == "a"  # rather than nobody


def test_a_member_without_capacity_is_never_picked(directory):
    join(directory, "a", capacity=0)
    assert pick(directory) is None


def test_who_leaves_is_forgotten(directory):
    a, b = join(directory, "a"), join(directory, "b")
    directory.remove(a)
    directory.place(a)  # told late: changes nothing
    assert (pick(directory), a.free) == ("b", False)
    assert directory.find("g", "a") is None
    assert directory.by_pid("a") == []
    directory.remove(b)
    assert directory.groups == {}


def test_a_pid_can_be_in_several_groups(directory):
    one, two = join(directory, "a"), join(directory, "a", "h")
    assert directory.by_pid("a") == [one, two]
    assert directory.find("h", "a") is two
    seen = []
    directory.each(seen.append)
    assert seen == [one, two]


# --- holders --------------------------------------------------------------------------------------


@pytest.fixture
def holders(directory):
    return Holders(directory)


def task(pid=None, version=1):
    return targeted("t", acquired(pid, 9, version=version) if pid else Task("pending", version))


def test_a_lease_counts_from_grant_to_end(directory, holders):
    member = join(directory, "a")
    assert holders.see(task(), task("a")) is None
    assert (member.held, holders.of("a")) == (1, {"t": 1})
    assert holders.see(task("a"), task("a")) is None  # a heartbeat
    assert member.held == 1
    assert holders.see(task("a"), task()) == "a"
    assert (member.held, holders.of("a")) == (0, {})


def test_a_lease_that_changes_hands_in_one_batch_moves(directory, holders):
    a, b = join(directory, "a"), join(directory, "b")
    holders.see(None, task("a"))
    assert holders.see(task("a"), task("b", 2)) == "a"
    assert (a.held, b.held) == (0, 1)
    assert holders.of("b") == {"t": 2}


def test_a_lease_that_came_and_went_in_one_batch_is_no_lease(directory, holders):
    member = join(directory, "a")
    assert holders.see(None, task(version=1)) is None
    assert member.held == 0


def test_every_connection_of_a_pid_has_its_load(directory, holders):
    one, two = join(directory, "a"), join(directory, "a", "h")
    holders.add("a", "t", 1)
    assert (one.held, two.held) == (1, 1)
    holders.clear()
    assert (one.held, two.held) == (0, 0)
    assert holders.see(task("a"), task()) is None  # of before: not known any more
