"""Cancelling: a call, and what was begun for it and still goes on.

The promise first: from then on its function can begin nothing more. Then its attached children and
theirs, found by their ids, which start with its own, until there are none. Children with ids of
their own are canceled by the worker that began them, once it learns of the end.
"""

from __future__ import annotations

from resonate.protocol import requests as rq
from resonate.protocol.limits import SEARCH_LIMIT_MAX
from resonate.protocol.records import PromiseRecord
from resonate.protocol.validation import PARENT
from resonate.sdk.client import Client, checked
from resonate.sdk.exchanges import Exchange
from resonate.sdk.sender import Item
from resonate.sdk.steps import DETACHED, STEP

_TOGETHER = 500  # promises canceled in one request


def cancel(client: Client, id: str) -> Exchange[bool]:
    """Cancel a promise and its attached children; tell whether it was pending."""
    before = _record((yield client.ask(rq.PromiseGet(client.head(), rq.IdData(id)))))
    if before.state == "pending":
        after = _record((yield client.ask(_settle(client, id))))
        if after.state != "rejected_canceled":
            return False
    reached = {id}
    while children := (yield from _children(client, id, reached)):
        for start in range(0, len(children), _TOGETHER):
            some = children[start : start + _TOGETHER]
            yield client.ask(*(_settle(client, each) for each in some))
        reached.update(children)
    return before.state == "pending"


def _children(client: Client, id: str, reached: set[str]) -> Exchange[list[str]]:
    """Return what is pending and was begun, attached, by what was reached, or in turn by that."""
    parents: dict[str, str | None] = {}
    cursor: str | None = None
    while True:
        data = rq.PromiseSearchData(
            state="pending", id_prefix=f"{id}.", limit=SEARCH_LIMIT_MAX, cursor=cursor
        )
        page = checked((yield client.ask(rq.PromiseSearch(client.head(), data))).answers[0]).data
        for each in page.promises:
            if STEP in each.tags and DETACHED not in each.tags:
                parents[each.id] = each.tags.get(PARENT)
        cursor = page.cursor
        if cursor is None:
            return _descendants(parents, reached)


def _descendants(parents: dict[str, str | None], reached: set[str]) -> list[str]:
    found: dict[str, None] = {}
    while fresh := [
        each
        for each, parent in parents.items()
        if each not in found and each not in reached and (parent in reached or parent in found)
    ]:
        found.update(dict.fromkeys(fresh))
    return list(found)


def _settle(client: Client, id: str) -> rq.PromiseSettle:
    return rq.PromiseSettle(client.head(), rq.PromiseSettleData(id, "rejected_canceled"))


def _record(item: Item) -> PromiseRecord:
    record: PromiseRecord = checked(item.answers[0]).data.promise
    return record
