"""Unblocks: telling listeners that a promise is settled, until a live connection took it.

Rules:
- A settled promise that still has a listener *is* the unblock: it is durable with the settlement.
  Here is only the index by address, bounded; what falls out of it is told when the address
  registers again or the server starts.
- The listener is taken off the promise after the message was written to a connection, so an unblock
  may be delivered twice and is never lost by a crash.
- Nobody fetched it within a day: it is dropped.
"""

from __future__ import annotations

from resonate.core.objects import Promise
from resonate.protocol.addresses import any_route, is_pushed, parse_address, uni_route
from resonate.protocol.limits import UNBLOCK_MS_MAX, UNBLOCKS_MAX


class Unblocks:
    """Settled promises by the route of the listener that waits to be told."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[tuple[str, str], int]] = {}  # route -> (id, address) -> when
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, each: tuple[str, str]) -> bool:
        known = parse_address(each[1])
        return known is not None and each in self._waiting.get(known.route, ())

    def see(self, before: Promise | None, after: Promise) -> list[str]:
        """Take note of a change; return the addresses that are to be told now."""
        if after.state == "pending":
            return []
        if before is not None and before.state != "pending":
            for address in before.listeners:
                if address not in after.listeners:
                    self._discard(after.id, address)
            return []
        assert after.settled_at is not None
        for address in after.listeners:
            self.add(after.id, address, after.settled_at)
        return list(after.listeners)

    def add(self, promise_id: str, address: str, settled_at: int) -> None:
        """Remember that ``address`` is to be told of the promise."""
        known = parse_address(address)
        if known is None or self._count >= UNBLOCKS_MAX:
            return
        waiting = self._waiting.setdefault(known.route, {})
        if (promise_id, address) not in waiting:
            waiting[promise_id, address] = settled_at
            self._count += 1

    def waiting_for(self, group: str, pid: str) -> list[tuple[str, str]]:
        """Return (promise id, address) of what a new connection can be told."""
        return [
            *self._waiting.get(uni_route(group, pid), ()),
            *self._waiting.get(any_route(group), ()),
        ]

    def pushed(self) -> list[str]:
        """Return the addresses of what is to be pushed over HTTP."""
        return [route for route in self._waiting if is_pushed(route)]

    def pushed_to(self, address: str) -> list[str]:
        """Return the ids of the promises that an HTTP address is to be told of."""
        return [promise_id for promise_id, _ in self._waiting.get(address, ())]

    def overdue(self, now: int) -> list[tuple[str, str]]:
        """Return (promise id, address) of what nobody fetched for too long."""
        return [
            each
            for waiting in self._waiting.values()
            for each, settled_at in waiting.items()
            if settled_at + UNBLOCK_MS_MAX <= now
        ]

    def clear(self) -> None:
        """Forget everything; the store tells it again."""
        self._waiting.clear()
        self._count = 0

    def _discard(self, promise_id: str, address: str) -> None:
        known = parse_address(address)
        waiting = None if known is None else self._waiting.get(known.route)
        if known is not None and waiting and waiting.pop((promise_id, address), None) is not None:
            self._count -= 1
            if not waiting:
                del self._waiting[known.route]
