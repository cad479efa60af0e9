"""What chance and the clock say to a function: the same in every replay.

- Random numbers and UUIDs come from the promise and the number of the operation: nothing is stored.
- Readings of the clock are recorded as local steps.
"""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from typing import TYPE_CHECKING, Any

from resonate.sdk.operations import Operation, Ready

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt
    from resonate.sdk.context import Context


def next_uuid(attempt: Attempt) -> Ready[uuid.UUID]:
    """Return a UUID; it takes a number of the function, which it depends on."""
    number = attempt.next_id()
    return Ready(number, uuid.UUID(bytes=_seed(attempt, number)[:16], version=4))


class Random:
    """Random numbers: each call takes a number of the function, which it depends on."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def _next(self, name: str, *args: Any, **kwargs: Any) -> Ready[Any]:
        number = self._attempt.next_id()
        source = random.Random(_seed(self._attempt, number))  # noqa: S311  # no secret
        return Ready(number, getattr(source, name)(*args, **kwargs))

    def random(self) -> Ready[float]:
        """Return a number from 0 to below 1."""
        return self._next("random")

    def randint(self, a: int, b: int) -> Ready[int]:
        """Return an integer from ``a`` to ``b``, both included."""
        return self._next("randint", a, b)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> Ready[int]:
        """Return an element of the range."""
        return self._next("randrange", start, stop, step)

    def getrandbits(self, k: int) -> Ready[int]:
        """Return an integer of ``k`` random bits."""
        return self._next("getrandbits", k)

    def choice(self, seq: Any) -> Ready[Any]:
        """Return an element of a sequence that is not empty."""
        return self._next("choice", seq)

    def triangular(self, low: float = 0.0, high: float = 1.0, mode: float | None = None) -> Any:
        """Return a number of the triangular distribution."""
        return self._next("triangular", low, high, mode)

    def betavariate(self, alpha: float, beta: float) -> Ready[float]:
        """Return a number of the beta distribution."""
        return self._next("betavariate", alpha, beta)

    def expovariate(self, lambd: float = 1.0) -> Ready[float]:
        """Return a number of the exponential distribution."""
        return self._next("expovariate", lambd)


class Time:
    """A clock: each reading is a recorded step."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def time(self) -> Operation[float]:
        """Return the time, seconds since the epoch."""
        return self._context.run(_now)

    def strftime(self, format: str) -> Operation[str]:  # noqa: A002  # its name in time
        """Return the local time in that format."""
        return self._context.run(_formatted, format)


def _now(ctx: Context) -> float:
    return ctx._running().workflow.host.machine.time()  # noqa: SLF001  # of this package


def _formatted(ctx: Context, form: str) -> str:
    return time.strftime(form, time.localtime(_now(ctx)))


def _seed(attempt: Attempt, number: str) -> bytes:
    promise = attempt.workflow.promise
    return hashlib.sha256(f"{promise.id}\0{promise.created_at}\0{number}".encode()).digest()
