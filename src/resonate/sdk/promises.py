"""The client of durable promises: read, create, settle and find them, without calling anything.

Whoever settles a promise that a function waits for decides what that function gets. The first
settlement wins; a later one changes nothing and is told the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

from resonate.protocol import requests as rq
from resonate.protocol.answers import PromisesAnswer
from resonate.protocol.records import PromiseRecord, PromiseState, SettleState
from resonate.sdk.checks import check_text
from resonate.sdk.exchanges import Exchange, blocking
from resonate.sdk.shared import Shared
from resonate.sdk.subclients import (
    StoredValue,
    answered,
    check_filters,
    check_milliseconds,
    check_no_page,
    check_strings,
    pages,
    stored,
    value_of,
)

Headers = dict[str, str] | None
_STATES = get_args(PromiseState)


@dataclass(frozen=True)
class DurablePromise:
    """A promise as the server saw it at one instant.

    - ``state``: "pending", "resolved", "rejected", "rejected_canceled" or "rejected_timedout".
    - ``timeout``: the deadline, milliseconds since the epoch.
    - ``param``, ``value``: what it was created and settled with: ``headers``, and ``data`` as text.
    - ``created_on``, ``completed_on``: milliseconds since the epoch; None while it is pending.
    """

    id: str
    state: PromiseState
    timeout: int
    param: StoredValue
    value: StoredValue
    tags: dict[str, str]
    created_on: int
    completed_on: int | None

    @property
    def pending(self) -> bool:
        """Tell whether it is not settled."""
        return self.state == "pending"

    @property
    def completed(self) -> bool:
        """Tell whether it is settled, one way or the other."""
        return self.state != "pending"

    @property
    def resolved(self) -> bool:
        """Tell whether it has a result."""
        return self.state == "resolved"

    @property
    def rejected(self) -> bool:
        """Tell whether it failed with an error; not when it was canceled or timed out."""
        return self.state == "rejected"

    @property
    def canceled(self) -> bool:
        """Tell whether somebody canceled it."""
        return self.state == "rejected_canceled"

    @property
    def timedout(self) -> bool:
        """Tell whether its deadline passed first."""
        return self.state == "rejected_timedout"


@dataclass(frozen=True)
class PromisePage:
    """One page of a search.

    ``cursor`` asks for the next one, and is None on the last; a page may be shorter than its limit.
    ``counts`` says how many match per state, if that was asked for.
    """

    promises: tuple[DurablePromise, ...]
    cursor: str | None
    counts: dict[str, int] | None


class PromiseFilters(TypedDict, total=False):
    """What a search looks for: all that is given must match, and None is not given.

    - ``state``: as of now; what is past its deadline is not "pending".
    - ``tags``: pairs that must all be there.
    - ``id_prefix``: what the id begins with.
    - ``root_only``: whether to leave out what was created for another promise.
    - ``created_from``, ``created_to``, ``settled_from``, ``settled_to``: milliseconds since the
      epoch; from the one on, and before the other.
    - ``order``: "id" (the default), "newest" or "oldest".
    - ``limit``: promises on a page, 1 to 1000; 100 by default.

    Servers of others know ``state``, ``tags`` and ``limit`` only, and ignore the rest.
    """

    state: PromiseState | None
    tags: dict[str, str] | None
    id_prefix: str | None
    root_only: bool | None
    created_from: int | None
    created_to: int | None
    settled_from: int | None
    settled_to: int | None
    order: Literal["id", "newest", "oldest"] | None
    limit: int | None


_KINDS: dict[str, type] = {
    "state": str,
    "tags": dict,
    "id_prefix": str,
    "root_only": bool,
    "created_from": int,
    "created_to": int,
    "settled_from": int,
    "settled_to": int,
    "order": str,
    "limit": int,
    "cursor": str,
    "counts": bool,
}


class Promises:
    """See ``Resonate.promises``. Safe to use from any thread; every method blocks.

    All raise ResonateStoreError when the server refuses (``code`` is its status) or does not answer
    in time (``code`` 0), TypeError and ValueError for arguments that cannot be,
    ValueTooLargeError for more data than may be sent.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def get(self, id: str) -> DurablePromise:
        """Return the promise; raises ResonateStoreError, ``code`` 404, when there is none."""
        return blocking(get(self._shared, id))

    def create(
        self,
        id: str,
        timeout_ms: int,
        *,
        headers: Headers = None,
        data: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> DurablePromise:
        """Create a promise, and return it; one that exists is returned as it is.

        ``timeout_ms`` is the deadline, milliseconds since the epoch; ``headers`` and ``data`` (a
        text) are its param. With the tag ``resonate:target`` it is a call.
        """
        return blocking(create(self._shared, id, timeout_ms, headers, data, tags))

    def resolve(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Resolve the promise with the JSON text ``data``: a waiter gets what that says.

        ``data="42"`` gives it the number 42, ``data='"yes"'`` a text, no data None. Returns the
        promise, which may have been settled before, otherwise: look at its ``state``. Raises
        ResonateStoreError, ``code`` 404, when there is none.
        """
        return blocking(settle(self._shared, id, "resolved", headers, data))

    def reject(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Reject the promise: a waiter raises RemoteError. As ``resolve``.

        With ``data='{"name": "TooLate", "message": "closed at six"}'`` these are the error's
        ``type`` and ``message``; any other JSON is the message as it is written.
        """
        return blocking(settle(self._shared, id, "rejected", headers, data))

    def cancel(
        self, id: str, *, headers: Headers = None, data: str | None = None
    ) -> DurablePromise:
        """Cancel the promise: a waiter raises ResonateCanceledError. As ``resolve``.

        That promise alone: for a call use ``Handle.cancel``, which cancels what it has begun, too.
        A function that works on it is told as there.
        """
        return blocking(settle(self._shared, id, "rejected_canceled", headers, data))

    def search(
        self,
        *,
        cursor: str | None = None,
        counts: bool = False,
        **filters: Unpack[PromiseFilters],
    ) -> PromisePage:
        """Return one page of the promises that match; see PromiseFilters.

        ``cursor`` is that of the page before, with the same filters. ``counts`` asks how many match
        per state, whatever ``state`` is; that looks at all of them.
        """
        return blocking(search(self._shared, {**filters, "cursor": cursor}, counts=counts))

    def search_all(self, **filters: Unpack[PromiseFilters]) -> Iterator[DurablePromise]:
        """Yield all promises that match, page by page, each page when it is needed.

        ``limit`` is the size of a page. What is created or settled meanwhile may or may not be
        among them.
        """
        check_no_page(filters)
        for page in pages(lambda cursor: self.search(cursor=cursor, **filters)):
            yield from page.promises


# --- the exchanges --------------------------------------------------------------------------------


def get(shared: Shared, id: str) -> Exchange[DurablePromise]:
    """See ``Promises.get``."""
    check_text("id", id)
    return (yield from _promise(shared, rq.PromiseGet, rq.IdData(id)))


def create(
    shared: Shared,
    id: str,
    timeout_ms: int,
    headers: Headers,
    data: str | None,
    tags: dict[str, str] | None,
) -> Exchange[DurablePromise]:
    """See ``Promises.create``."""
    check_text("id", id)
    check_milliseconds("timeout_ms", timeout_ms)
    check_strings("tags", tags)
    wanted = rq.PromiseCreateData(id, timeout_ms, value_of(headers, data), tags)
    return (yield from _promise(shared, rq.PromiseCreate, wanted))


def settle(
    shared: Shared, id: str, state: SettleState, headers: Headers, data: str | None
) -> Exchange[DurablePromise]:
    """See ``Promises.resolve``, ``reject`` and ``cancel``."""
    check_text("id", id)
    wanted = rq.PromiseSettleData(id, state, value_of(headers, data))
    return (yield from _promise(shared, rq.PromiseSettle, wanted))


def search(shared: Shared, given: dict[str, Any], *, counts: bool) -> Exchange[PromisePage]:
    """See ``Promises.search``."""
    wanted = check_filters({**given, "counts": counts or None}, _KINDS)
    state = wanted.get("state")
    if state is not None and state not in _STATES:
        raise ValueError(f"state must be one of {', '.join(_STATES)}, got {state!r}")
    data = rq.PromiseSearchData(**wanted)
    page: PromisesAnswer = yield from answered(shared, rq.PromiseSearch, data)
    return PromisePage(tuple(map(_seen, page.promises)), page.cursor, page.counts)


def _promise(
    shared: Shared,
    kind: type[rq.PromiseGet | rq.PromiseCreate | rq.PromiseSettle],
    data: rq.IdData | rq.PromiseCreateData | rq.PromiseSettleData,
) -> Exchange[DurablePromise]:
    return _seen((yield from answered(shared, kind, data)).promise)


def _seen(record: PromiseRecord) -> DurablePromise:
    return DurablePromise(
        id=record.id,
        state=record.state,
        timeout=record.timeout_at,
        param=stored(record.param, f"the param of promise {record.id}"),
        value=stored(record.value, f"the value of promise {record.id}"),
        tags=dict(record.tags),
        created_on=record.created_at,
        completed_on=record.settled_at,
    )
