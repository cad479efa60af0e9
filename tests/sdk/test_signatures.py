"""Arguments against signatures: what fits is read by its annotations, what does not is told."""

from __future__ import annotations

import dataclasses
import functools
import gc
import uuid
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pytest

from resonate.errors import ArgumentsError, DecodingError
from resonate.sdk.signatures import arguments, return_type

if TYPE_CHECKING:
    from nowhere import Context, Thing

R = TypeVar("R")
ID = uuid.UUID(int=5)


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    parent: Order | None = None


JSON = {"id": str(ID)}
ORDER = Order(ID)


def plain(ctx, a, b=2):
    pass


def typed(ctx: Context, order: Order, ids: list[uuid.UUID] = (), *, flag: bool = False):
    pass


def rest(ctx, first: int, *ids: uuid.UUID, **orders: Order):
    pass


def partly(ctx: Context, thing: Thing, order: Order, other, late: int = None):  # noqa: RUF013
    pass


def placed(ctx, id: uuid.UUID, /, **rest: str):
    pass


def wide(ctx: Context, *args: Any, **kwargs: Thing):
    pass


def bare():
    pass


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "found_args", "found_kwargs"),
    [
        (plain, [1], {}, [1], {}),
        (plain, [1, 2], {}, [1, 2], {}),
        (plain, [1], {"b": 3}, [1], {"b": 3}),
        (plain, [], {"b": 3, "a": 1}, [], {"b": 3, "a": 1}),
        (typed, [JSON], {}, [ORDER], {}),
        (typed, [JSON, [str(ID)]], {"flag": True}, [ORDER, [ID]], {"flag": True}),
        (typed, [], {"order": JSON, "ids": []}, [], {"order": ORDER, "ids": []}),
        (rest, [1, str(ID), str(ID)], {"x": JSON}, [1, ID, ID], {"x": ORDER}),
        (partly, [{"a": 1}, JSON, JSON, None], {}, [{"a": 1}, ORDER, JSON, None], {}),
        (partly, [1, JSON, 3], {"late": None}, [1, ORDER, 3], {"late": None}),
        (placed, [str(ID)], {"id": "x"}, [ID], {"id": "x"}),
        (wide, [1, "x"], {"a": JSON}, [1, "x"], {"a": JSON}),
        (print, [1, "x"], {}, [1, "x"], {}),
    ],
)
def test_arguments_that_fit_are_read_by_their_annotations(
    func, args, kwargs, found_args, found_kwargs
):
    args, kwargs = arguments(func, args, kwargs)
    assert (list(args), kwargs) == (found_args, found_kwargs)


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "text"),
    [
        (plain, [], {}, "plain(a, b=2) was called with (): missing a required argument: 'a'"),
        (plain, [1, 2, 3], {}, "plain(a, b=2) was called with (1, 2, 3): too many positional arguments"),
        (plain, [1], {"c": 3}, "plain(a, b=2) was called with (1, c=3): got an unexpected keyword argument 'c'"),
        (plain, [1], {"ctx": 3}, "plain(a, b=2) was called with (1, ctx=3): multiple values for argument 'ctx'"),
        (typed, [JSON, [], True], {}, "typed(order: Order, ids: list[uuid.UUID] = (), *, flag: bool = False) was called with"),
        (typed, [5], {}, "(5): order is no Order: expected `object`, got `int`"),
        (typed, [{"id": "x"}], {}, "order is no Order: invalid UUID - at `$.id`"),
        (typed, [], {"order": JSON, "flag": "yes"}, "flag is no bool: expected `bool`, got `str`"),
        (rest, [1, str(ID), "x"], {}, "ids[1] is no UUID: invalid UUID"),
        (rest, [1], {"a": JSON, "b": []}, "b is no Order: expected `object`, got `array`"),
        (rest, ["1"], {}, "first is no int: expected `int`, got `str`"),
        (bare, [], {}, "bare() was called with (): too many positional arguments"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_told_with_the_signature(func, args, kwargs, text):
    with pytest.raises(ArgumentsError) as caught:
        arguments(func, args, kwargs)
    assert text in str(caught.value)
    assert caught.value.function == func.__name__
    assert isinstance(caught.value, TypeError)


def test_the_place_in_a_wrong_argument_is_kept_as_the_cause():
    with pytest.raises(ArgumentsError) as caught:
        arguments(typed, [5], {})
    assert isinstance(caught.value.__cause__, DecodingError)


def test_what_was_given_is_shown_cut_off_however_large_or_deep():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ArgumentsError) as caught:
        arguments(plain, [deep, "x" * 100_000, list(range(1_000)), *range(1_000)], {})
    assert len(caught.value.given) < 300


def test_a_function_within_a_function_knows_the_names_that_it_uses():
    @dataclasses.dataclass
    class Local:
        a: int

    def uses(ctx, local: Local, other: Unseen) -> Local:
        return Local(later)

    @dataclasses.dataclass
    class Unseen:
        pass

    assert arguments(uses, [{"a": 1}, {}], {}) == ([Local(1), {}], {})
    assert return_type(uses) is Local
    later = 5


def traced(func):
    @functools.wraps(func)
    def call(*args, **kwargs):
        return func(*args, **kwargs)

    return call


def with_database(func):
    @functools.wraps(func)
    def call(ctx, *args, **kwargs):
        return func(ctx, "database", *args, **kwargs)

    return call


def test_a_function_that_wraps_another_is_read_by_the_inner_one():
    def f(ctx, order: Order, *, id: uuid.UUID | None = None) -> list[Order]:
        pass

    assert arguments(traced(traced(f)), [JSON], {"id": str(ID)}) == ([ORDER], {"id": ID})
    assert return_type(traced(f)) == list[Order]
    with pytest.raises(ArgumentsError, match=r"f\(order: Order, .* was called with \(5\)"):
        arguments(traced(f), [5], {})


def test_what_a_wrapper_gives_of_its_own_is_not_missed():
    def f(ctx, database: Thing, order: Order):
        pass

    assert arguments(with_database(f), [JSON], {}) == ([JSON], {})


async def coroutine(ctx) -> Order: ...
def generator(ctx) -> Generator[int, str, list[Order]]: ...
def unfinished(ctx) -> Generator: ...
def coroutine_of(ctx) -> Coroutine[Any, Any, Order]: ...
def awaitable(ctx) -> Awaitable[Order]: ...
def iterator(ctx) -> Iterator[Order]: ...
async def async_iterator(ctx) -> AsyncIterator[Order]: ...
def nothing(ctx) -> None: ...
def silent(ctx): ...
def unresolvable(ctx) -> Thing: ...
def annotated(ctx) -> Annotated[Order, "x"]: ...
def variable(ctx, make: Callable[[], R]) -> R: ...


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (coroutine, Order),
        (generator, list[Order]),
        (unfinished, Any),
        (coroutine_of, Order),
        (awaitable, Order),
        (iterator, Any),
        (async_iterator, Any),
        (nothing, type(None)),
        (silent, Any),
        (unresolvable, Any),
        (annotated, Annotated[Order, "x"]),
        (variable, R),
        (print, Any),
        (functools.partial(coroutine), Any),
    ],
)
def test_the_return_type_is_what_comes_in_the_end(func, expected):
    assert return_type(func) == expected


def test_a_callable_that_cannot_be_kept_is_looked_at_anew():
    class Unhashable:
        __hash__ = None

        def __call__(self, ctx, id: uuid.UUID):
            pass

    assert arguments(Unhashable(), [str(ID)], {}) in (([ID], {}), ([str(ID)], {}))
    with pytest.raises(ArgumentsError):
        arguments(Unhashable(), [], {})


def test_a_function_is_not_kept_alive():
    def f(ctx, id: uuid.UUID):
        pass

    arguments(f, [str(ID)], {})
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None
