"""The index of unblocks: what waits for whom, bounded."""

from __future__ import annotations

from resonate.engine.unblocks import Unblocks
from resonate.protocol.limits import UNBLOCK_MS_MAX
from tests.store.stores import promise

UNI = "poll://uni@g/p"


def pending(*listeners):
    return promise("a", listeners=listeners)


def resolved(*listeners):
    return promise("a", state="resolved", listeners=listeners, settled_at=5)


def test_a_settlement_names_who_is_to_be_told():
    unblocks = Unblocks()
    assert unblocks.see(None, pending(UNI)) == []
    assert unblocks.see(pending(UNI, "poll://any@h"), resolved(UNI, "poll://any@h")) == [
        UNI,
        "poll://any@h",
    ]
    assert len(unblocks) == 2
    assert unblocks.waiting_for("g", "p") == [("a", UNI)]
    assert unblocks.waiting_for("g", "other") == []
    assert unblocks.waiting_for("h", "anybody") == [("a", "poll://any@h")]


def test_born_settled_is_seen_too():
    unblocks = Unblocks()
    assert unblocks.see(None, resolved(UNI)) == [UNI]


def test_a_listener_that_is_taken_off_waits_no_more():
    unblocks = Unblocks()
    unblocks.see(pending(UNI, "poll://any@h"), resolved(UNI, "poll://any@h"))
    assert unblocks.see(resolved(UNI, "poll://any@h"), resolved("poll://any@h")) == []
    assert len(unblocks) == 1
    assert unblocks.waiting_for("g", "p") == []
    unblocks.see(resolved("poll://any@h"), resolved())
    assert len(unblocks) == 0
    assert unblocks._waiting == {}


def test_an_any_address_with_a_name_can_be_told_to_anybody():
    unblocks = Unblocks()
    unblocks.see(pending("poll://any@g/p"), resolved("poll://any@g/p"))
    assert unblocks.waiting_for("g", "other") == [("a", "poll://any@g/p")]


def test_addresses_are_compared_as_decoded():
    unblocks = Unblocks()
    unblocks.see(pending("POLL://uni@a%20b/%70"), resolved("POLL://uni@a%20b/%70"))
    assert unblocks.waiting_for("a b", "p") == [("a", "POLL://uni@a%20b/%70")]


def test_the_same_unblock_counts_once():
    unblocks = Unblocks()
    unblocks.add("a", UNI, 5)
    unblocks.add("a", UNI, 5)
    assert len(unblocks) == 1


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr("resonate.engine.unblocks.UNBLOCKS_MAX", 3)
    unblocks = Unblocks()
    for number in range(5):
        unblocks.add(str(number), UNI, 5)
    assert len(unblocks) == 3
    unblocks.clear()
    assert len(unblocks) == 0
    unblocks.add("x", UNI, 5)
    assert unblocks.waiting_for("g", "p") == [("x", UNI)]


def test_what_nobody_fetched_for_a_day_is_overdue():
    unblocks = Unblocks()
    unblocks.add("old", UNI, 1_000)
    unblocks.add("new", UNI, 1_001)
    assert unblocks.overdue(1_000 + UNBLOCK_MS_MAX) == [("old", UNI)]
    assert unblocks.overdue(999 + UNBLOCK_MS_MAX) == []
