"""Offers: tasks that were offered to a member which has to acquire them itself.

Rules:
- An offer uses one of the member's slots until it ends: acquired by anybody, refused by a closed
  connection, or unanswered for two seconds while somebody else could take it.
- With nobody else it stands, and is repeated after 30 s, then ever more rarely; as soon as somebody
  else has room it goes there.
- A member that leaves offers unanswered comes last until it acquires something again.
- Not written anywhere: after a restart everything pending is offered anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from resonate.engine.members import Directory, Member
from resonate.engine.queues import Queue, Waiting
from resonate.protocol.limits import OFFER_MS, OFFER_REPEAT_MS


class Offer:
    """One task offered to one member; ``stale`` once it went unanswered for two seconds."""

    def __init__(self, member: Member, waiting: Waiting, queue: Queue) -> None:
        self.member = member
        self.waiting = waiting
        self.queue = queue
        self.stale = False
        self.alarm: asyncio.TimerHandle | None = None


class Offers:
    """Offers by task id. ``again`` is told of an offer that ended and has to be made anew."""

    def __init__(self, directory: Directory, again: Callable[[Offer, str | None], None]) -> None:
        self._directory = directory
        self._again = again
        self._offers: dict[str, Offer] = {}
        self._repeats: dict[str, int] = {}
        self._stale: dict[str, dict[str, Offer]] = {}  # by group, then task id

    def get(self, task_id: str) -> Offer | None:
        """Return the offer of a task."""
        return self._offers.get(task_id)

    def make(self, waiting: Waiting, member: Member, queue: Queue) -> Offer:
        """Remember that ``member`` is being offered the task."""
        offer = Offer(member, waiting, queue)
        self._offers[waiting.id] = offer
        member.offers[waiting.id] = waiting.version
        self._directory.place(member)
        self._alarm(offer, OFFER_MS)
        return offer

    def end(self, task_id: str) -> Offer | None:
        """End the offer of a task, if there is one: the slot is free again."""
        offer = self._offers.pop(task_id, None)
        if offer is not None:
            if offer.alarm is not None:
                offer.alarm.cancel()
            offer.member.offers.pop(task_id, None)
            self._directory.place(offer.member)
            self._freshen(offer)
        return offer

    def settled(self, task_id: str) -> None:
        """Forget how often the task was repeated: somebody has it."""
        self._repeats.pop(task_id, None)

    def refuse(self, offer: Offer) -> None:
        """The connection did not take the message."""
        if self._offers.get(offer.waiting.id) is offer:
            self._make_again(offer, avoid=offer.member.pid)

    def left(self, member: Member) -> None:
        """The connection is gone: what it was offered goes elsewhere."""
        for task_id in list(member.offers):
            self._make_again(self._offers[task_id], avoid=None)

    def freed(self, member: Member) -> None:
        """Somebody has room: what others leave unanswered can go to it."""
        stale = self._stale.get(member.group)
        if stale:
            others = [
                offer
                for offer in stale.values()
                if offer.member is not member
                and offer.queue.pid is None
                and member.can_run(offer.queue.function)
            ]
            for offer in others[: member.terms.capacity - member.load]:
                self._make_again(offer, avoid=offer.member.pid)

    def answered(self, member: Member) -> None:
        """The member tried to acquire something: it does take offers."""
        if member.unanswered:
            member.unanswered = 0
            self._directory.place(member)

    def clear(self) -> None:
        """End all offers."""
        for task_id in list(self._offers):
            self.end(task_id)
        self._repeats.clear()

    def _alarm(self, offer: Offer, delay_ms: int) -> None:
        loop = asyncio.get_running_loop()
        offer.alarm = loop.call_later(delay_ms / 1000, self._unanswered, offer)

    def _unanswered(self, offer: Offer) -> None:
        task_id, member = offer.waiting.id, offer.member
        if not offer.stale:
            member.unanswered += 1
            self._directory.place(member)
        group = self._directory.groups.get(member.group)
        function = offer.queue.function
        if offer.queue.pid is None and group is not None and group.has_other(member.pid, function):
            self._make_again(offer, avoid=member.pid)
        elif offer.stale:
            self._make_again(offer, avoid=None)
        else:
            offer.stale = True
            self._stale.setdefault(member.group, {})[task_id] = offer
            first, longest = OFFER_REPEAT_MS
            repeats = self._repeats[task_id] = self._repeats.get(task_id, 0) + 1
            self._alarm(offer, min(first * 2 ** min(repeats - 1, 10), longest) - OFFER_MS)

    def _make_again(self, offer: Offer, avoid: str | None) -> None:
        self.end(offer.waiting.id)
        self._again(offer, avoid)

    def _freshen(self, offer: Offer) -> None:
        if offer.stale:
            stale = self._stale[offer.member.group]
            del stale[offer.waiting.id]
            if not stale:
                del self._stale[offer.member.group]
