"""Members: the connections of a group, and which of them takes the next task.

Rules:
- A member's load is what it holds plus what it was offered; it takes nothing at ``capacity``.
- The least loaded member comes first; among equals the one that has waited longest.
- A suspect member (its lease ran out) takes nothing until it shows life; nor does one whose socket
  does not drain. One that left offers unanswered comes after all others.
- ``place`` must be called after anything that changes a member's load or fitness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from resonate.protocol.addresses import push_group
from resonate.protocol.limits import CAPACITY_DEFAULT, CAPACITY_MAX
from resonate.protocol.messages import Message

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
    ``presence`` its leases are released soon after it is gone.
    """

    capacity: int = CAPACITY_DEFAULT
    claim: bool = False
    ttl: int = 0
    presence: bool = False
    declared: bool = False


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
        self.bucket: int | None = None

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


class Group:
    """The members of one group, in buckets by load."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self._buckets: dict[int, dict[str, Member]] = {}

    def add(self, member: Member) -> None:
        """Take a member in; its pid must be free."""
        assert member.pid not in self.members, "one connection a pid"
        self.members[member.pid] = member
        self.place(member)

    def remove(self, member: Member) -> None:
        """Let a member go."""
        member.open = False
        self.place(member)
        del self.members[member.pid]

    def place(self, member: Member) -> None:
        """Put the member into the bucket of its load, or into none when it takes nothing."""
        bucket = None
        if member.free:
            bucket = member.load + (_LAST if member.unanswered else 0)
        if bucket == member.bucket:
            return
        if member.bucket is not None:
            old = self._buckets[member.bucket]
            del old[member.pid]
            if not old:
                del self._buckets[member.bucket]
        if bucket is not None:
            self._buckets.setdefault(bucket, {})[member.pid] = member
        member.bucket = bucket

    def pick(self, avoid: str | None) -> Member | None:
        """Return the member for the next task; ``avoid`` only when there is no other."""
        last = None
        for member in self._by_load():
            if member.pid != avoid:
                return member
            last = member
        return last

    def has_other(self, pid: str) -> bool:
        """Tell whether a member other than ``pid`` could take a task."""
        return any(member.pid != pid for member in self._by_load())

    def _by_load(self) -> Iterator[Member]:
        for load in sorted(self._buckets):
            yield from self._buckets[load].values()


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
