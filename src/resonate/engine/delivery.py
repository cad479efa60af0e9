"""Delivery: what leaves for workers and callers once the commit that justifies it is done.

Rules:
- A claimed task whose message is not taken is released at once; an offer goes to somebody else.
- An unblock is sent to a live connection of its address and stays until one took it. Then its
  listener is taken off the promise, by a step, so that a crash in between only tells it twice.
- Unblocks that nobody fetched for a day are given up, and counted in the log.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from resonate.core import steps
from resonate.core.objects import Promise, record
from resonate.core.state import State
from resonate.engine.batches import Step, nothing
from resonate.engine.clock import Clock
from resonate.engine.dispatch import Dispatch
from resonate.engine.members import Directory, Member
from resonate.engine.offers import Offer
from resonate.engine.unblocks import Unblocks
from resonate.protocol import messages
from resonate.protocol import requests as rq
from resonate.protocol.addresses import parse_address, push_group
from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.limits import UNBLOCK_MS_MAX

_OVERDUE_SECONDS = 3_600
log = logging.getLogger("resonate.engine")


class Delivery:
    """Sends executes and unblocks; while ``paused`` is set, no unblocks.

    ``push`` takes a step; ``release`` gives up the lease of a member that did not take its message;
    ``tell_address`` has an HTTP address told of a promise.
    """

    def __init__(
        self,
        clock: Clock,
        directory: Directory,
        dispatch: Dispatch,
        *,
        server_url: str,
        push: Callable[[Step], None],
        release: Callable[[str, int, str], None],
        tell_address: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._dispatch = dispatch
        self._server_url = server_url
        self._push = push
        self._release = release
        self._tell_address = tell_address
        self._overdue: asyncio.TimerHandle | None = None
        self.unblocks = Unblocks()
        self.paused = False

    def start(self) -> None:
        """Begin to give up, once an hour, what nobody fetches."""
        self._give_up_overdue()

    def stop(self) -> None:
        """Give up no more."""
        if self._overdue is not None:
            self._overdue.cancel()

    # --- executes ---------------------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Offer a task."""
        ref = rq.TaskRef(offer.waiting.id, offer.waiting.version)
        message = messages.execute(self._server_url, messages.ExecuteData(ref))
        if not self._send(offer.member, message):
            self._dispatch.refused(offer)

    def claimed(self, member: Member, lease: LeaseAnswer) -> None:
        """Hand over a task that was acquired for the member."""
        if not self._send(member, messages.execute(self._server_url, lease)):
            self._release(lease.task.id, lease.task.version, member.pid)

    # --- unblocks ---------------------------------------------------------------------------------

    def tell(self, promise: Promise, address: str) -> None:
        """Tell an address that the promise is settled, if somebody is there; it waits otherwise."""
        if self.paused:
            return
        known = parse_address(address)
        if known is not None and known.cast == "http":
            if (promise.id, address) in self.unblocks:
                self._tell_address(promise.id, address)
            return
        member = self._listener(address)
        if member is not None and self._send(member, messages.unblock(record(promise))):
            self.told(promise, address)

    def told(self, promise: Promise, address: str) -> None:
        """The message was taken: the listener has what it waited for."""
        self._push(Step(promise.id, functools.partial(_discharge, address=address)))

    def tell_waiting(self, member: Member) -> None:
        """Tell a connection everything that waits for it."""
        for promise_id, address in self.unblocks.waiting_for(member.group, member.pid):
            tell = functools.partial(self._tell_loaded, address=address)
            self._push(Step(promise_id, nothing, tell))

    def _tell_loaded(self, promise: Promise | None, *, address: str) -> None:
        if promise is not None and promise.state != "pending" and address in promise.listeners:
            self.tell(promise, address)

    def _listener(self, address: str) -> Member | None:
        known = parse_address(address)
        if known is None or known.cast == "http" or known.group.startswith(push_group("")):
            return None
        if known.id is not None:
            member = self._directory.find(known.group, known.id)
            if member is not None or known.cast == "uni":
                return None if member is None or member.paused else member
        group = self._directory.groups.get(known.group)
        members = group.members.values() if group is not None else ()
        return next((member for member in members if not member.paused), None)

    def _give_up_overdue(self) -> None:
        overdue = self.unblocks.overdue(self._clock.now())
        for promise_id, address in overdue:
            self._push(Step(promise_id, functools.partial(_discharge, address=address)))
        if overdue:
            log.warning(
                "%d unblocks that nobody fetched in %d ms are dropped, the first is of %s for %s",
                len(overdue),
                UNBLOCK_MS_MAX,
                *overdue[0],
            )
        loop = asyncio.get_running_loop()
        self._overdue = loop.call_later(_OVERDUE_SECONDS, self._give_up_overdue)

    # --- connections ------------------------------------------------------------------------------

    def _send(self, member: Member, message: messages.Message) -> bool:
        """Send a message; who does not take it gets nothing more until it resumes or reconnects."""
        if not member.open or member.paused:
            return False
        if member.connection.send(message):
            return True
        member.paused = True
        self._directory.place(member)
        return False


def _discharge(state: State, promise_id: str, *, address: str) -> None:
    steps.discharge(state, promise_id, address)
