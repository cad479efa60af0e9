"""Executions: what a param asks for, and one lease of a task that this process holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resonate.protocol.answers import LeaseAnswer
from resonate.protocol.records import PromiseRecord, SettleState, Value
from resonate.sdk import codec
from resonate.sdk.encoders import Encoder
from resonate.sdk.errors import DecodingError

if TYPE_CHECKING:
    from resonate.sdk.workflow import Workflow

Ended = tuple[SettleState, Value]


class Invocation:
    """What a param says: call this function of this version with these arguments.

    Raises DecodingError for a param that says something else.
    """

    def __init__(self, promise: PromiseRecord, encoder: Encoder | None = None) -> None:
        stored = codec.decode(promise.param, promise.id, encoder=encoder)
        try:
            self.name = str(stored["func"])
            self.args = list(stored.get("args") or [])
            self.kwargs = dict(stored.get("kwargs") or {})
            self.version = int(stored.get("version") or 0)
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise DecodingError(
                f"the param of promise {promise.id} is no invocation of a function: {error!r}"
            ) from error


class Execution:
    """One lease of a task.

    ``slot`` tells whether it takes one of the worker's slots, ``workflow`` is what runs under it.
    """

    def __init__(self, lease: LeaseAnswer) -> None:
        self.id = lease.task.id
        self.version = lease.task.version
        self.promise = lease.promise
        self.preload = lease.preload
        self.key = (self.id, self.version, lease.promise.created_at)
        self.lost = False
        self.ended = False
        self.complained = False
        self.slot = False
        self.workflow: Workflow | None = None

    @property
    def of(self) -> tuple[str, int]:
        """Return what all leases of the same task have in common."""
        return self.id, self.promise.created_at

    def lose(self) -> None:
        """Whatever comes of it is thrown away."""
        self.lost = True
        if self.workflow is not None:
            self.workflow.lose()
