"""Cancelling: a call, and what was begun for it and still goes on.

The promise first: from then on its function can begin nothing more. Then its attached children, by
their ids, which start with its own, until there are none; each of them ends the same way.
"""

from __future__ import annotations

from resonate.protocol import requests as rq
from resonate.protocol.limits import SEARCH_LIMIT_MAX
from resonate.protocol.records import PromiseRecord
from resonate.sdk.client import Client, checked
from resonate.sdk.steps import DETACHED, STEP


def cancel(client: Client, id: str) -> bool:
    """Cancel a promise and its attached children; tell whether it was pending."""
    before = _record(client, rq.PromiseGet(client.head(), rq.IdData(id)))
    if before.state == "pending":
        after = _record(client, _settle(client, id))
        if after.state != "rejected_canceled":
            return False
    while children := _children(client, id):
        client.ask(*(_settle(client, each) for each in children)).result()
    return before.state == "pending"


def _children(client: Client, id: str) -> list[str]:
    """Return some of the attached children that are pending."""
    found: list[str] = []
    cursor: str | None = None
    while not found:
        data = rq.PromiseSearchData(
            state="pending", id_prefix=f"{id}.", limit=SEARCH_LIMIT_MAX, cursor=cursor
        )
        item = client.ask(rq.PromiseSearch(client.head(), data)).result()
        page = checked(item.answers[0]).data
        found = [
            each.id for each in page.promises if STEP in each.tags and DETACHED not in each.tags
        ]
        cursor = page.cursor
        if cursor is None:
            break
    return found


def _settle(client: Client, id: str) -> rq.PromiseSettle:
    return rq.PromiseSettle(client.head(), rq.PromiseSettleData(id, "rejected_canceled"))


def _record(client: Client, request: rq.Request) -> PromiseRecord:
    record: PromiseRecord = checked(client.ask(request).result().answers[0]).data.promise
    return record
