"""Cancelling: a call, and what was begun for it and still goes on.

Rules:
- The promise first: from then on its function can begin nothing more. Then its attached children
  and theirs, whatever their ids and wherever they run, found by the tags of their tree, until there
  are none. So no process has to be alive but the one that cancels.
- Not everybody who cancels knows of children: a promise may be settled by its id alone, by the
  server's API or by whoever no longer waits for it. Workers make up for that with a ``Cascade``.
- A call that somebody else began, with an id of its own, is not a child: it goes on.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final

from resonate.protocol import requests as rq
from resonate.protocol.limits import SEARCH_LIMIT_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import ORIGIN, PARENT
from resonate.sdk.errors import ResonateShutdownError
from resonate.sdk.exchanges import Exchange, checked, in_background, into
from resonate.sdk.sender import Item
from resonate.sdk.steps import DETACHED, STEP

_TOGETHER = 500  # promises canceled in one request
_CANCELED: Final = "rejected_canceled"
Ask = Callable[..., "Future[Item]"]
Head = Callable[[], rq.Head]
log = logging.getLogger("resonate.worker")


def cancel(ask: Ask, head: Head, id: str) -> Exchange[bool]:
    """Cancel a promise and its attached children; tell whether it was pending."""
    before = _record((yield ask(rq.PromiseGet(head(), rq.IdData(id)))))
    after = before
    if before.state == "pending":
        after = _record((yield ask(_settle(head, id))))
    if after.state == _CANCELED:
        yield from cancel_children(ask, head, _root(after), [id])
    return before.state == "pending" and after.state == _CANCELED


def cancel_children(ask: Ask, head: Head, root: str, ids: Iterable[str]) -> Exchange[None]:
    """Cancel what was begun, attached, by promises of one tree that were canceled."""
    reached = set(ids)
    while found := _descendants((yield from _attached(ask, head, root)), reached):
        for start in range(0, len(found), _TOGETHER):
            yield ask(*(_settle(head, each) for each in found[start : start + _TOGETHER]))
        reached.update(found)


class Cascade:
    """Cancels the children of promises that were canceled alone; on the network's event loop.

    One tree at a time: what is added meanwhile is looked for together. ``put`` sends an item.
    """

    def __init__(self, put: Callable[[Item], None], head: Head) -> None:
        self._put = put
        self._head = head
        self._trees: dict[str, list[str]] = {}
        self._busy = False

    def add(self, canceled: PromiseRecord) -> None:
        """Cancel the children of that promise."""
        self._trees.setdefault(_root(canceled), []).append(canceled.id)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._trees)
        if self._trees:
            root = next(iter(self._trees))
            ids = self._trees.pop(root)
            exchange = cancel_children(self._ask, self._head, root, ids)
            in_background(exchange, functools.partial(self._ended, root))

    def _ended(self, root: str, error: Exception | None) -> None:
        if isinstance(error, ResonateShutdownError):
            return
        if error is not None:
            log.error("what canceled calls of %s had begun may go on: %s", root, error)
        self._next()

    def _ask(self, *requests: rq.Request) -> Future[Item]:
        asked: Future[Item] = Future()
        self._put(Item(list(requests), into(asked), None))
        return asked


def _attached(ask: Ask, head: Head, root: str) -> Exchange[dict[str, str | None]]:
    """Return what is pending in a tree and attached to what began it, with that."""
    parents: dict[str, str | None] = {}
    cursor: str | None = None
    while True:
        data = rq.PromiseSearchData(
            state="pending", tags={ORIGIN: root}, limit=SEARCH_LIMIT_MAX, cursor=cursor
        )
        page = checked((yield ask(rq.PromiseSearch(head(), data))).answers[0]).data
        for each in page.promises:
            if STEP in each.tags and DETACHED not in each.tags:
                parents[each.id] = each.tags.get(PARENT)
        cursor = page.cursor
        if cursor is None:
            return parents


def _descendants(parents: dict[str, str | None], reached: set[str]) -> list[str]:
    """Return what was begun by what was reached, or in turn by that."""
    children: dict[str | None, list[str]] = {}
    for each, parent in parents.items():
        children.setdefault(parent, []).append(each)
    found: dict[str, None] = {}
    beginners = list(reached)
    while beginners:
        for each in children.get(beginners.pop(), ()):
            if each not in found and each not in reached:
                found[each] = None
                beginners.append(each)
    return list(found)


def _root(promise: PromiseRecord) -> str:
    return promise.tags.get(ORIGIN, promise.id)


def _settle(head: Head, id: str) -> rq.PromiseSettle:
    return rq.PromiseSettle(head(), rq.PromiseSettleData(id, _CANCELED))


def _record(item: Item) -> PromiseRecord:
    record: PromiseRecord = checked(item.answers[0]).data.promise
    return record
