"""Members: the connections of a group, and which of them takes the next task.

Rules:
- A member that told which functions it can run is given no calls of others; one that told nothing
  is given any.
- A member's load is what it holds plus what it was offered; it takes nothing at ``capacity``.
- The least loaded member comes first; among equals the one that has waited longest.
- A suspect member (its lease ran out) takes nothing until it shows life; nor does one whose socket
  does not drain. One that left offers unanswered comes after all others.
- ``place`` must be called after anything that changes a member's load or fitness.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container
from typing import Protocol

from msgspec import Struct

from resonate.protocol.addresses import any_route, push_group, uni_route
from resonate.protocol.limits import CAPACITY_DEFAULT, CAPACITY_MAX
from resonate.protocol.messages import Message

Rank = tuple[int, int]  # load, and since when: the order in which members get tasks
_LAST = CAPACITY_MAX + 1  # added to the load of a member that comes after all others


class Connection(Protocol):
    """What the gateway gives the engine to reach a worker."""

    def send(self, message: Message) -> bool:
        """Write the message; False when the connection cannot take it (any more)."""

    def end(self) -> None:
        """End the stream cleanly."""


class Terms(Struct, frozen=True):
    """What a connection declared (section 8.3): ``capacity`` 0 means it only listens.

    With ``claim`` the server acquires tasks on its behalf, for ``ttl`` milliseconds. With
    ``presence`` its leases are released soon after it is gone. ``functions`` are the keys
    (``protocol.addresses``) of those it can run; None: it did not say, and may be asked for any.
    """

    capacity: int = CAPACITY_DEFAULT
    claim: bool = False
    ttl: int = 0
    presence: bool = False
    declared: bool = False
    functions: frozenset[str] | None = None


class Member:
    """One live connection of a group."""

    def __init__(self, group: str, pid: str, terms: Terms, connection: Connection) -> None:
        self.group = group
        self.pid = pid
        self.terms = terms
        self.connection = connection
        self.held = 0
        self.offers: dict[str, int] = {}
        self.unanswered = 0
        self.suspect = False
        self.paused = False
        self.open = True
        self.crew: Crew | None = None
        self.rank: Rank | None = None
        self.shared_route = pid if self.is_address else any_route(group)
        self.own_route = None if self.is_address else uni_route(group, pid)

    @property
    def is_address(self) -> bool:
        """Tell whether this is no connection, but an HTTP address (``engine.push``)."""
        return self.group == push_group(self.pid)

    @property
    def load(self) -> int:
        """Return the slots in use."""
        return self.held + len(self.offers)

    @property
    def free(self) -> bool:
        """Tell whether the member takes one more task."""
        return (
            self.open and not self.suspect and not self.paused and self.load < self.terms.capacity
        )

    def can_run(self, function: str | None) -> bool:
        """Tell whether it may be asked for a function; None: nobody knows for which."""
        return function is None or self.terms.functions is None or function in self.terms.functions


class Crew:
    """The members of a group that can run the same functions, in buckets by load."""

    def __init__(self, functions: frozenset[str] | None) -> None:
        self.functions = functions
        self.size = 0
        self._buckets: dict[int, dict[Member, None]] = {}

    def can_run(self, function: str | None) -> bool:
        """See ``Member.can_run``."""
        return function is None or self.functions is None or function in self.functions

    @property
    def has_room(self) -> bool:
        """Tell whether one of them takes one more task."""
        return bool(self._buckets)

    def put(self, member: Member, rank: Rank) -> None:
        """Put a member at the end of the bucket of its load."""
        self._buckets.setdefault(rank[0], {})[member] = None

    def take(self, member: Member, rank: Rank) -> None:
        """Take a member out of its bucket."""
        bucket = self._buckets[rank[0]]
        del bucket[member]
        if not bucket:
            del self._buckets[rank[0]]

    def first(self, avoid: Container[str]) -> Member | None:
        """Return the member for the next task; one to ``avoid`` only when there is no other."""
        spare = None
        for load in sorted(self._buckets):
            for member in self._buckets[load]:
                if member.pid not in avoid:
                    return member
                spare = spare or member
        return spare


class Group:
    """The members of one group, in crews by what they can run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self._crews: dict[frozenset[str] | None, Crew] = {}
        self._numbers = itertools.count()

    def add(self, member: Member) -> None:
        """Take a member in; its pid must be free."""
        assert member.pid not in self.members, "one connection a pid"
        self.members[member.pid] = member
        if member.terms.capacity > 0:
            functions = member.terms.functions
            crew = member.crew = self._crews.setdefault(functions, Crew(functions))
            crew.size += 1
        self.place(member)

    def remove(self, member: Member) -> None:
        """Let a member go."""
        member.open = False
        self.place(member)
        del self.members[member.pid]
        crew = member.crew
        if crew is not None:
            crew.size -= 1
            if not crew.size:
                del self._crews[crew.functions]

    def place(self, member: Member) -> None:
        """Put the member where its load belongs, or nowhere when it takes nothing."""
        crew, rank = member.crew, member.rank
        if crew is None:
            return
        bucket = None
        if member.free:
            bucket = member.load + (_LAST if member.unanswered else 0)
        if bucket == (None if rank is None else rank[0]):
            return
        if rank is not None:
            crew.take(member, rank)
        member.rank = None
        if bucket is not None:
            member.rank = (bucket, next(self._numbers))
            crew.put(member, member.rank)

    @property
    def works(self) -> bool:
        """Tell whether somebody here takes tasks at all."""
        return bool(self._crews)

    @property
    def has_room(self) -> bool:
        """Tell whether somebody here takes one more task."""
        return any(crew.has_room for crew in self._crews.values())

    def can_run(self, function: str | None) -> bool:
        """Tell whether somebody here, busy or not, may be asked for a function."""
        return any(crew.can_run(function) for crew in self._crews.values())

    def pick(self, function: str | None, avoid: Container[str] = ()) -> Member | None:
        """Return the member for the next task; one to ``avoid`` only when there is no other."""
        best: Member | None = None
        for crew in self._crews.values():
            if crew.can_run(function):
                member = crew.first(avoid)
                if member is not None and (best is None or _before(member, best, avoid)):
                    best = member
        return best

    def has_other(self, pid: str, function: str | None) -> bool:
        """Tell whether a member other than ``pid`` could take a task now."""
        member = self.pick(function, (pid,))
        return member is not None and member.pid != pid

    def has_fresh(self, function: str | None, refused: Container[str]) -> bool:
        """Tell whether a member, busy or not, may be asked that has not refused."""
        return any(
            member.crew is not None and pid not in refused and member.can_run(function)
            for pid, member in self.members.items()
        )


def _before(one: Member, other: Member, avoid: Container[str]) -> bool:
    """Tell which of two members with room comes first."""
    assert one.rank is not None
    assert other.rank is not None
    return (one.pid in avoid, one.rank) < (other.pid in avoid, other.rank)


class Directory:
    """All groups, and which connections go by a pid.

    An HTTP address goes by none: who runs there may use any, its url too.
    """

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self._by_pid: dict[str, list[Member]] = {}

    def add(self, member: Member) -> None:
        """Enter a member."""
        self.groups.setdefault(member.group, Group(member.group)).add(member)
        if not member.is_address:
            self._by_pid.setdefault(member.pid, []).append(member)

    def remove(self, member: Member) -> None:
        """Strike a member out; a group without members is forgotten."""
        group = self.groups[member.group]
        group.remove(member)
        if not group.members:
            del self.groups[member.group]
        if member.is_address:
            return
        others = self._by_pid[member.pid]
        others.remove(member)
        if not others:
            del self._by_pid[member.pid]

    def find(self, group: str, pid: str) -> Member | None:
        """Return the connection of ``pid`` in ``group``, if there is one."""
        known = self.groups.get(group)
        return None if known is None else known.members.get(pid)

    def by_pid(self, pid: str) -> list[Member]:
        """Return the connections that go by ``pid``."""
        return self._by_pid.get(pid, [])

    def place(self, member: Member) -> None:
        """See ``Group.place``."""
        if member.open:
            self.groups[member.group].place(member)

    def each(self, act: Callable[[Member], None]) -> None:
        """Do something to every member."""
        for group in list(self.groups.values()):
            for member in list(group.members.values()):
                act(member)
