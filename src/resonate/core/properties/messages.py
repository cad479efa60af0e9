"""The messages that the objects are, in place of an outbox (section 6.5).

- A pending task that may be dispatched *is* its execute message. Its queue is the promise's route.
- A settled promise that has a listener *is* its unblock message to that address. Delivering it, or
  superseding it by an answer, takes the listener off.

The two kinds have key spaces of their own, so that no task id collides with an address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from resonate.core.objects import Promise, is_ready


class Execute(NamedTuple):
    """A task that waits to be dispatched."""

    task_id: str
    version: int
    queue: str | None


class Unblock(NamedTuple):
    """A settlement that an address has to hear of."""

    promise_id: str
    address: str
    promise: Promise


Key = tuple[str, ...]


def execute_key(message: Execute) -> Key:
    """Return the key of an execute message: there is one a task."""
    return "execute", message.task_id


def unblock_key(message: Unblock) -> Key:
    """Return the key of an unblock message: there is one a promise and address."""
    return "unblock", message.promise_id, message.address


def executes(promises: Iterable[Promise], now: int) -> list[Execute]:
    """Return the execute messages at ``now``."""
    return [
        Execute(each.id, each.task.version, each.route)
        for each in promises
        if is_ready(each, now) and each.task is not None
    ]


def unblocks(promises: Iterable[Promise]) -> list[Unblock]:
    """Return the unblock messages."""
    return [
        Unblock(each.id, address, each)
        for each in promises
        if each.state != "pending"
        for address in each.listeners
    ]
