"""Retry policies: after how long each tries again, and what they refuse."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
import pickle
import sys
from datetime import timedelta

import pytest

from resonate import Resonate, retry_policies
from resonate.errors import RemoteError
from resonate.retry_policies import Constant, Exponential, Linear, Never, RetryPolicy
from resonate.sdk.retries import check_non_retryable, check_policy, delay_after, resolve

KINDS = [Constant, Linear, Exponential]


def delays(policy, count):
    return [policy.next(attempt) for attempt in range(1, count + 1)]


# --- delays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Never(), [None, None]),
        (Constant(jitter=0), [1, 1, 1]),
        (Constant(delay=0.5, max_retries=2, jitter=0), [0.5, 0.5, None, None]),
        (Constant(3, 1, jitter=0), [3, None]),
        (Constant(max_retries=0), [None]),
        (Linear(jitter=0), [1, 2, 3, 4]),
        (Linear(2, 3, jitter=0), [2, 4, 6, None]),
        (Linear(60, jitter=0), [60, 120, 180]),
        (Linear(delay=2, max_delay=5, jitter=0), [2, 4, 5, 5]),
        (Exponential(jitter=0), [2, 4, 8, 16, 30, 30]),
        (Exponential(1, 2, 3, 100, jitter=0), [3, 9, None]),
        (Exponential(delay=60, jitter=0), [30, 30]),
        (Exponential(factor=0.5, jitter=0), [0.5, 0.25, 0.125]),
        (Exponential(factor=1, jitter=0), [1, 1, 1]),
        (Exponential(delay=0), [0, 0, 0]),
    ],
    ids=repr,
)
def test_delays_after_the_first_failures(policy, expected):
    assert delays(policy, len(expected)) == expected


@pytest.mark.parametrize("policy", [Never(), *(kind() for kind in KINDS)], ids=repr)
def test_before_the_first_attempt_there_is_no_delay(policy):
    assert policy.next(0) == 0
    with pytest.raises(ValueError, match=r"^attempt must be greater than or equal to zero$"):
        policy.next(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_it_is_tried_without_end(kind):
    assert kind().next(sys.maxsize) is not None
    assert kind().next(sys.maxsize + 1) is None


@pytest.mark.parametrize("attempt", [1_024, 10**6, 10**18, sys.maxsize])
def test_no_attempt_is_too_late_to_be_counted(attempt):
    assert Exponential(jitter=0).next(attempt) == 30
    assert Exponential(factor=1e300, jitter=0).next(attempt) == 30
    assert Exponential(max_delay=math.inf).next(attempt) == math.inf
    assert Exponential(delay=0, max_delay=math.inf).next(attempt) == 0
    assert 0 <= Exponential(factor=0.5).next(attempt) < 1e-300
    assert Linear(delay=sys.float_info.max, max_delay=7, jitter=0).next(attempt) == 7
    assert Linear(delay=sys.float_info.max).next(attempt) == math.inf


def test_an_attempt_beyond_every_float_is_cut_like_any_other():
    assert Linear(0.5, 10**500, max_delay=9, jitter=0).next(10**400) == 9
    assert Exponential(1, 10**500, jitter=0).next(10**400) == 30


# --- jitter ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drawn", "expected"), [(0.0, [2, 4, 30]), (0.5, [1.5, 3, 22.5]), (1.0, [1, 2, 15])]
)
def test_jitter_takes_away_its_part_of_the_delay(drawn, expected):
    policy = Exponential(jitter=0.5, random=lambda: drawn)
    assert [policy.next(attempt) for attempt in (1, 2, 50)] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_a_tenth_is_left_to_chance_and_never_more_than_written(kind):
    assert kind().jitter == 0.1
    longest = kind(jitter=0).next(3)
    found = {kind().next(3) for _ in range(200)}
    assert len(found) > 100
    assert longest * 0.9 <= min(found) < max(found) <= longest


def test_without_jitter_chance_is_not_asked():
    def draw():
        raise AssertionError

    assert Constant(jitter=0, random=draw).next(1) == 1
    assert Linear(delay=sys.float_info.max, random=draw).next(9) == math.inf


def test_full_jitter_of_a_delay_without_bound_is_still_a_number():
    policy = Exponential(max_delay=math.inf, jitter=1, random=lambda: 1.0)
    assert policy.next(10**6) == math.inf


# --- values ---------------------------------------------------------------------------------------


def test_policies_of_the_same_class_and_fields_are_equal():
    assert Never() == Never()
    assert Constant() == Constant(delay=1.0, max_retries=sys.maxsize, jitter=0.1)
    assert Exponential(2, 3) == Exponential(max_retries=3, delay=2)
    assert Exponential(random=lambda: 0.5) == Exponential()
    assert hash(Exponential(2, 3)) == hash(Exponential(max_retries=3, delay=2))
    assert len({Never(), Never(), Constant(), Constant(1), Linear(), Exponential()}) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Constant(), Linear()),
        (Constant(), Constant(2)),
        (Constant(), Constant(max_retries=1)),
        (Constant(), Constant(jitter=0)),
        (Linear(), Linear(max_delay=9)),
        (Exponential(), Exponential(factor=3)),
        (Exponential(), Exponential(max_delay=9)),
        (Never(), Constant(max_retries=0)),
    ],
)
def test_policies_that_differ_in_anything_are_not_equal(one, other):
    assert one != other


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (Never(), "Never()"),
        (Constant(), "Constant()"),
        (Constant(5, 3), "Constant(delay=5, max_retries=3)"),
        (Linear(max_delay=10, jitter=0), "Linear(jitter=0, max_delay=10)"),
        (Exponential(factor=3), "Exponential(factor=3)"),
    ],
)
def test_a_policy_is_written_as_the_call_that_makes_it(policy, text):
    assert repr(policy) == text
    assert eval(text, vars(retry_policies)) == policy  # noqa: S307  # it is written above


@pytest.mark.parametrize("policy", [Never(), *(kind(jitter=0.2) for kind in KINDS)], ids=repr)
def test_policies_cannot_be_changed_but_can_be_copied(policy):
    for field in dataclasses.fields(policy):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(policy, field.name, 1)
    assert copy.deepcopy(policy) == pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"delay": "1"}, TypeError, "delay must be `float`, got str"),
        ({"delay": timedelta(seconds=1)}, TypeError, "delay must be `float`, got timedelta"),
        ({"delay": True}, TypeError, "delay must be `float`, got bool"),
        ({"delay": None}, TypeError, "delay must be `float`, got NoneType"),
        ({"delay": -1}, ValueError, "delay must be greater than or equal to zero"),
        ({"delay": math.nan}, ValueError, "delay must be greater than or equal to zero"),
        ({"delay": math.inf}, ValueError, "delay is too large"),
        ({"delay": 10**400}, ValueError, "delay is too large"),
        ({"max_retries": 1.0}, TypeError, "max_retries must be `int`, got float"),
        ({"max_retries": True}, TypeError, "max_retries must be `int`, got bool"),
        ({"max_retries": -1}, ValueError, "max_retries must be greater than or equal to zero"),
        ({"jitter": "0"}, TypeError, "jitter must be `float`, got str"),
        ({"jitter": -0.1}, ValueError, "jitter must be greater than or equal to zero"),
        ({"jitter": 1.1}, ValueError, "jitter must be less than or equal to one"),
        ({"jitter": math.nan}, ValueError, "jitter must be greater than or equal to zero"),
        ({"random": 0.5}, TypeError, "random must be `Callable`, got float"),
    ],
)
def test_wrong_fields_are_refused_in_these_words(kind, fields, error, text):
    with pytest.raises(error) as caught:
        kind(**fields)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("kind", "fields", "error", "text"),
    [
        (Linear, {"max_delay": "9"}, TypeError, "max_delay must be `float`, got str"),
        (Linear, {"max_delay": -1}, ValueError, "max_delay must be greater than or equal to zero"),
        (Exponential, {"max_delay": None}, TypeError, "max_delay must be `float`, got NoneType"),
        (Exponential, {"max_delay": 10**400}, ValueError, "max_delay is too large"),
        (Exponential, {"factor": "2"}, TypeError, "factor must be `float`, got str"),
        (Exponential, {"factor": 0}, ValueError, "factor must be greater than zero"),
        (Exponential, {"factor": -2}, ValueError, "factor must be greater than or equal to zero"),
        (Exponential, {"factor": math.inf}, ValueError, "factor is too large"),
    ],
)
def test_wrong_fields_of_one_kind_are_refused_in_these_words(kind, fields, error, text):
    with pytest.raises(error) as caught:
        kind(**fields)
    assert str(caught.value) == text


# --- options --------------------------------------------------------------------------------------


class Own:
    """A policy as a user would write it."""

    def __init__(self, answer):
        self.answer = answer

    def next(self, attempt):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_policy_is_itself_and_a_callable_makes_one_for_the_function():
    def func(ctx):
        return ctx

    asked = []

    def make(func):
        asked.append(func)
        return Linear()

    own = Own(1)
    assert resolve(Never(), func) == Never()
    assert resolve(own, func) is own
    assert resolve(make, func) == Linear()
    assert asked == [func]
    assert isinstance(own, RetryPolicy)
    for each in (None, own, make, Never()):
        check_policy(each)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (5, "retry_policy must be `Callable | RetryPolicy | None`, got int"),
        ("x", "retry_policy must be `Callable | RetryPolicy | None`, got str"),
        (
            Exponential,
            "retry_policy must be a policy, got the class Exponential: write Exponential()",
        ),
    ],
)
def test_what_is_no_policy_is_refused_in_these_words(policy, text):
    for refuse in (check_policy, lambda policy: resolve(policy, print)):
        with pytest.raises(TypeError) as caught:
            refuse(policy)
        assert str(caught.value) == text


@pytest.mark.parametrize("made", [None, 5, Never])
def test_a_callable_that_makes_no_policy_is_refused(made):
    with pytest.raises(TypeError, match=r"^retry_policy must return a RetryPolicy, got "):
        resolve(lambda func: made, print)


def test_non_retryable_exceptions_are_a_tuple_of_classes():
    check_non_retryable(())
    check_non_retryable((ValueError, KeyboardInterrupt))
    with pytest.raises(TypeError, match=r"^non_retryable_exceptions must be `tuple`, got list$"):
        check_non_retryable([ValueError])
    for wrong in (int, ValueError("x"), "ValueError"):
        with pytest.raises(TypeError, match="must hold exception classes"):
            check_non_retryable((ValueError, wrong))


# --- the decision ---------------------------------------------------------------------------------


def after(policy, error=None, *, attempt=1, now=100.0, deadline=200.0, non_retryable=()):
    return delay_after(
        policy,
        attempt,
        error or ValueError("x"),
        now=now,
        deadline=deadline,
        non_retryable=non_retryable,
    )


def test_an_error_is_followed_by_the_delay_of_the_policy():
    policy = Exponential(max_retries=2, jitter=0)
    assert [after(policy, attempt=attempt) for attempt in (1, 2, 3)] == [2, 4, None]
    assert after(Never()) is None
    assert after(Own(7)) == 7


@pytest.mark.parametrize(
    ("delay", "expected"), [(99.5, 99.5), (100, None), (101, None), (math.inf, None)]
)
def test_an_attempt_that_would_begin_at_the_deadline_or_later_is_not_made(delay, expected):
    assert after(Own(delay)) == expected
    assert after(Own(0), now=200.0) is None


def test_non_retryable_types_stop_and_so_do_their_subclasses():
    policy = Constant(jitter=0)
    assert after(policy, KeyError("x"), non_retryable=(LookupError,)) is None
    assert after(policy, LookupError("x"), non_retryable=(KeyError,)) == 1
    assert after(policy, ValueError("x"), non_retryable=(KeyError, ValueError)) is None


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
        BaseExceptionGroup("x", [KeyboardInterrupt()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_no_exception_is_never_tried_again(error):
    assert after(Constant(0), error) is None


@pytest.mark.parametrize(
    "answer", ["1", True, timedelta(1), -1, math.nan, 10**400, RuntimeError("x")], ids=repr
)
def test_a_policy_that_fails_or_answers_nonsense_stops_and_is_logged(answer, caplog):
    assert after(Own(answer)) is None
    (record,) = caplog.records
    assert record.getMessage() == "a retry policy failed: the function is not tried again"
    assert record.exc_info


def test_the_class_of_an_error_that_a_step_raised_stops_the_function(make):
    local = make(Resonate.local())
    attempts = []

    def charge(ctx):
        raise Declined("no")

    @local.register(retry_policy=Constant(0.01), non_retryable_exceptions=(Declined,))
    def buy(ctx):
        attempts.append(ctx.info.attempt)
        yield ctx.run(charge)

    with pytest.raises(RemoteError, match="Declined: no"):
        buy.run("id")
    assert attempts == [1]


class Declined(Exception):
    """Not registered by ``register_exception``."""
