"""Steps: the promises that a function makes while it runs, and what is known of each.

A step is settled when its record is. Whoever watches it is called then, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from resonate.protocol.records import PromiseRecord, Value
from resonate.sdk.encoders import Encoder
from resonate.sdk.signatures import arguments
from resonate.sdk.tags import SCOPE, tree_tags

STEP = "resonate:step"  # what the code asked for; a replay that asks for something else is noticed
DETACHED = "resonate:detached"
LEASE = "resonate:lease"  # the version of the task under which the step was made
PLACE = "resonate:place"  # of a step with an id of its own: the id that it would have had
ATTEMPT = "resonate:attempt"  # of its function, in which it was made; there is none in the first
RETRY = "retry"
After = Callable[[], object]  # what a watcher wants done without the lock
Watcher = Callable[[], After | None]
# The value of a step whose await was cancelled: a replay waits as the first run did, not for it.
ABANDONED = Value(headers={"resonate:abandoned": "true"})


class Plan(Struct, frozen=True):
    """What is to be made: a promise, and for local steps the function that settles it.

    - ``kind``: run, rpc, detached, sleep, promise or retry.
    - ``name``: of the function; empty where there is none.
    - ``timeout_at``: the deadline, milliseconds since the epoch.
    - ``call``: of a local step.
    - ``version``: of the function, of a call to a worker.
    """

    kind: str
    name: str
    param: Value
    tags: dict[str, str]
    timeout_at: int
    call: Call | None = None
    attached: bool = True
    version: int = 0

    @property
    def label(self) -> str:
        """Return what is recorded of the step, and compared when it is asked for again."""
        return f"{self.kind} {self.name}" if self.name else self.kind

    @property
    def own(self) -> bool:
        """Tell whether nobody else may have made the promise."""
        return self.kind in ("run", "sleep", RETRY)


class Call(Struct, frozen=True):
    """A function of this process with its arguments, and how it is tried again.

    ``read``: the arguments are those of a param, to be read by the function's annotations.
    ``process``: it is called in a process of its own.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    version: int = 1
    retry_policy: Any = None
    non_retryable: tuple[type[BaseException], ...] = ()
    encoder: Encoder | None = None
    read: bool = False
    process: bool = False

    def __call__(self, context: Any) -> Any:
        """Call the function. Raises ArgumentsError for arguments that it does not take."""
        if not self.read:
            return self.func(context, *self.args, **self.kwargs)
        args, kwargs = arguments(self.func, self.args, self.kwargs)
        return self.func(context, *args, **kwargs)


class Step:
    """One promise of a function. The lock of its workflow guards it.

    ``old`` tells whether it was there before it was asked for; None: that is not known yet.
    ``canceled`` tells that it was, here; the record says so later.
    """

    __slots__ = ("canceled", "id", "old", "plan", "record", "watchers")

    def __init__(self, step_id: str, plan: Plan) -> None:
        self.id = step_id
        self.plan = plan
        self.canceled = False
        self.old: bool | None = None
        self.record: PromiseRecord | None = None
        self.watchers: list[Watcher] = []

    @property
    def settled(self) -> bool:
        """Tell whether it has ended."""
        return self.record is not None and self.record.state != "pending"

    @property
    def holds(self) -> bool:
        """Tell whether the function that made it does not end before it has."""
        return not self.settled and self.plan.kind != "promise"

    @property
    def abandoned(self) -> bool:
        """Tell whether it was canceled because the await of it was."""
        return self.record is not None and is_abandoned(self.record)

    @property
    def failed(self) -> bool:
        """Tell whether it has ended with an error."""
        return self.record is not None and self.record.state not in ("pending", "resolved")

    def settle(self, record: PromiseRecord) -> list[Watcher]:
        """Take the record over; return who is to be called, after the lock is given back."""
        self.record = record
        if record.state == "pending":
            return []
        watchers, self.watchers = self.watchers, []
        return watchers


def is_abandoned(record: PromiseRecord) -> bool:
    """See ``Step.abandoned``."""
    return record.value.headers == ABANDONED.headers


def carry_out(after: Iterable[After]) -> None:
    """Do what watchers want done, without the lock."""
    for act in after:
        act()


def local_tags(origin: str, branch: str, parent: str, label: str) -> dict[str, str]:
    """Return the tags of a promise that the process which made it settles."""
    return {**tree_tags(origin, branch, parent), SCOPE: "local", STEP: label}
