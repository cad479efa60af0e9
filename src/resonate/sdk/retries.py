"""Retry policies: whether a function that raised is tried again, and after how long.

Rules:
- Durations are seconds. A policy is an immutable value: it keeps no count and looks at no clock.
- ``next(attempt)`` is asked with the number of the attempt that just failed, from 1, and answers
  the seconds to wait before the next one, or None to stop. Attempt 0, none so far, is 0 seconds.
- No number is too large: what grows beyond every float is infinite, and so cut by ``max_delay``.
- Jitter only shortens. What is written as the delay, and as its maximum, stays the longest wait.
- ``delay_after`` decides for the worker, and never raises for what a user's policy does.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from resonate.sdk.errors import RemoteError

# Executions that failed by one cause fail at one moment, and without jitter they come back at one
# moment, again and again. A tenth is enough to spread them (3 s of 30), and so little that the
# delay which somebody wrote is still about what he gets.
_JITTER = 0.1
log = logging.getLogger("resonate.worker")


@runtime_checkable
class RetryPolicy(Protocol):
    """What can be asked after how many seconds to try again; None means never.

    Whatever has this method is one. One of your own is given to ``register`` or to the ``options``
    of ``ctx.run``: it is code, and does not travel with a call.
    """

    def next(self, attempt: int) -> float | None:
        """Return the seconds to wait after failed ``attempt`` (from 1); None: do not try again.

        ``attempt`` is an int, the seconds are an int or a float from 0. When it raises, or returns
        anything else, that is logged, and the function is not tried again.
        """


RetryPolicyMaker = Callable[[Callable[..., Any]], RetryPolicy]


# --- the policies ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Never:
    """Do not try again: the first error is the outcome. Has no fields, and is the default."""

    def next(self, attempt: int) -> float | None:
        """Return None, and 0 for attempt 0; raises ValueError for an ``attempt`` below zero."""
        _check_attempt(attempt)
        return 0 if attempt == 0 else None


@dataclass(frozen=True, repr=False)
class _Delays:
    """What the other policies have in common: a number of retries, and jitter."""

    delay: float = 1
    max_retries: int = sys.maxsize
    jitter: float = field(default=_JITTER, kw_only=True)
    random: Callable[[], float] = field(default=random.random, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        _check_number("delay", self.delay)
        _check_retries(self.max_retries)
        _check_number("jitter", self.jitter)
        if self.jitter > 1:
            raise ValueError("jitter must be less than or equal to one")
        if not callable(self.random):
            raise TypeError(f"random must be `Callable`, got {type(self.random).__name__}")

    def __repr__(self) -> str:
        """Return the call that makes an equal policy, without what is the default."""
        given = [
            f"{each.name}={getattr(self, each.name)!r}"
            for each in dataclasses.fields(self)
            if each.compare and getattr(self, each.name) != each.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def next(self, attempt: int) -> float | None:
        """Return the seconds to wait after failed ``attempt``, None after ``max_retries``.

        Attempt 0, none so far, is 0 seconds. Raises ValueError for an ``attempt`` below zero.
        """
        _check_attempt(attempt)
        if attempt == 0:
            return 0
        if attempt > self.max_retries:
            return None
        longest = self._capped(attempt)
        if self.jitter == 0 or math.isinf(longest):
            return longest
        return longest * (1 - self.jitter * self.random())

    def _capped(self, attempt: int) -> float:
        if self.delay == 0:
            return 0
        try:
            return min(self._grown(attempt), self._cap())
        except OverflowError:
            return self._cap()

    def _grown(self, attempt: int) -> float:  # noqa: ARG002  # what grows, overrides this
        return self.delay

    def _cap(self) -> float:
        return math.inf


@dataclass(frozen=True, repr=False)
class Constant(_Delays):
    """Try again after ``delay`` each time.

    - ``delay``: seconds, an int or a float from 0; 1 by default.
    - ``max_retries``: how many times to try again after the first attempt, an int from 0; no end by
      default, other than the deadline of the promise.
    - ``jitter``: the part of each delay, from 0 to 1, that chance may take away; 0.1 by default.
    - ``random``: what draws it, a function that returns a number from 0 to 1; ``random.random`` by
      default.

    Raises TypeError and ValueError with the name of the wrong field, for an infinite ``delay``,
    too.
    """


@dataclass(frozen=True, repr=False)
class Linear(_Delays):
    """Wait ``delay`` longer each time: 1, 2, 3 seconds by default.

    The wait after attempt n is ``delay * n`` seconds, and never longer than ``max_delay`` (seconds,
    an int or a float from 0; infinity, no bound, by default). The rest as in ``Constant``, and what
    is raised, too.
    """

    max_delay: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number("max_delay", self.max_delay, infinite=True)

    def _grown(self, attempt: int) -> float:
        return self.delay * attempt

    def _cap(self) -> float:
        return self.max_delay


@dataclass(frozen=True, repr=False)
class Exponential(_Delays):
    """Wait ``factor`` times as long each time: 2, 4, 8, 16, 30, 30 seconds by default.

    The wait after attempt n is ``delay * factor ** n`` seconds, and never longer than ``max_delay``
    (seconds, an int or a float from 0, 30 by default; infinity for no bound). ``factor`` is an int
    or a float above 0, 2 by default. The rest as in ``Constant``, and what is raised, too.
    """

    factor: float = 2
    max_delay: float = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number("factor", self.factor)
        if self.factor == 0:
            raise ValueError("factor must be greater than zero")
        _check_number("max_delay", self.max_delay, infinite=True)

    def _grown(self, attempt: int) -> float:
        return self.delay * float(self.factor) ** attempt  # an int would grow without end

    def _cap(self) -> float:
        return self.max_delay


def _check_number(name: str, value: object, *, infinite: bool = False) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be `float`, got {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} must be greater than or equal to zero")
    if value > sys.float_info.max and not (infinite and value == math.inf):
        raise ValueError(f"{name} is too large")


def _check_retries(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"max_retries must be `int`, got {type(value).__name__}")
    if value < 0:
        raise ValueError("max_retries must be greater than or equal to zero")


def _check_attempt(attempt: int) -> None:
    if attempt < 0:
        raise ValueError("attempt must be greater than or equal to zero")


# --- what users pass in ---------------------------------------------------------------------------


def check_policy(policy: object) -> None:
    """Raise TypeError unless ``policy`` is None, a policy, or makes one from a function."""
    if isinstance(policy, type):
        name = policy.__name__
        raise TypeError(f"retry_policy must be a policy, got the class {name}: write {name}()")
    if not (policy is None or isinstance(policy, RetryPolicy) or callable(policy)):
        raise TypeError(
            f"retry_policy must be `Callable | RetryPolicy | None`, got {type(policy).__name__}"
        )


def check_non_retryable(types: object) -> None:
    """Raise TypeError unless ``types`` is a tuple of exception classes."""
    if not isinstance(types, tuple):
        raise TypeError(f"non_retryable_exceptions must be `tuple`, got {type(types).__name__}")
    for each in types:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(f"non_retryable_exceptions must hold exception classes, got {each!r}")


def resolve(policy: RetryPolicy | RetryPolicyMaker, func: Callable[..., Any]) -> RetryPolicy:
    """Return the policy for ``func``: ``policy`` itself, or what it makes of ``func``.

    Raises TypeError when that is no policy, and whatever the user's callable raises.
    """
    check_policy(policy)
    if isinstance(policy, RetryPolicy):
        return policy
    made: object = policy(func)
    if isinstance(made, type) or not isinstance(made, RetryPolicy):
        raise TypeError(f"retry_policy must return a RetryPolicy, got {made!r}")
    return made


# --- the decision ---------------------------------------------------------------------------------


def delay_after(
    policy: RetryPolicy,
    attempt: int,
    error: BaseException,
    *,
    now: float,
    deadline: float,
    non_retryable: tuple[type[BaseException], ...] = (),
) -> float | None:
    """Return the seconds after which to try again, None when ``error`` is the outcome.

    ``attempt`` is the number of the attempt that raised ``error``, from 1. ``now`` and ``deadline``
    are seconds since the epoch; an attempt that could only begin at the deadline or later is not
    made. ``non_retryable`` classes stop, subclasses of them too, and so does a RemoteError of just
    such a class, and every exception that is no Exception: those end the process or the task, and
    say nothing of the work.

    A policy that raises, or answers what is no number of seconds, stops, too, and is logged: the
    outcome is then the function's own error.
    """
    assert attempt >= 1, "an attempt has been made"
    if not isinstance(error, Exception) or _is_one_of(error, non_retryable):
        return None
    delay = _asked(policy, attempt)
    if delay is None or now + delay >= deadline:
        return None
    return delay


def _is_one_of(error: Exception, classes: tuple[type[BaseException], ...]) -> bool:
    """Tell whether an exception is of one of these classes, here or where it was raised."""
    if isinstance(error, classes):
        return True
    return isinstance(error, RemoteError) and any(
        (error.type, error.module) == (each.__qualname__, each.__module__) for each in classes
    )


def _asked(policy: RetryPolicy, attempt: int) -> float | None:
    """Ask a policy, which may be the user's code."""
    try:
        delay = policy.next(attempt)
        if delay is not None:
            _check_number("the delay", delay, infinite=True)
    except Exception:
        log.exception("a retry policy failed: the function is not tried again")
        return None
    return delay
