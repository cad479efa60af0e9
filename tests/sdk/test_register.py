"""``register``, the function it returns, and what cannot be registered."""

from __future__ import annotations

import functools

import pytest

from resonate import Function, Resonate
from resonate.errors import ArgumentsError, FunctionNotFoundError, VersionNotFoundError
from resonate.registry import Registry
from resonate.sdk.registry import Callee


class Instance:
    def __call__(self, ctx):
        return None

    def method(self, ctx):
        return None


def f(ctx):
    return "f"


async def async_generator(ctx):
    yield 1


@pytest.mark.parametrize(
    ("func", "arguments", "error", "text"),
    [
        (5, {}, TypeError, "func must be Callable"),
        ("f", {}, TypeError, "func must be Callable"),
        (len, {}, ValueError, "provided callable must be a function"),
        (Instance(), {}, ValueError, "provided callable must be a function"),
        (Instance().method, {}, ValueError, "provided callable must be a function"),
        (Instance, {}, ValueError, "provided callable must be a function"),
        (functools.partial(f), {}, ValueError, "provided callable must be a function"),
        (lambda ctx: 1, {}, ValueError, "name required when registering a lambda function"),
        (f, {"version": 0}, ValueError, "provided version must be greater than zero"),
        (f, {"version": -1}, ValueError, "provided version must be greater than zero"),
        (f, {"name": 5}, TypeError, "name must be `str | None`, got int"),
        (f, {"version": "1"}, TypeError, "version must be `int`, got str"),
        (f, {"version": True}, TypeError, "version must be `int`, got bool"),
        (f, {"version": 1.0}, TypeError, "version must be `int`, got float"),
        (f, {"name": ""}, ValueError, "name must not be empty"),
        (f, {"name": "\ud800"}, ValueError, "name is no valid Unicode: it has half a surrogate"),
        (async_generator, {}, TypeError, "async generator functions cannot be registered"),
    ],
)
def test_misuse_is_refused_in_these_words(local, func, arguments, error, text):
    with pytest.raises(error) as caught:
        local.register(func, **arguments)
    assert str(caught.value).startswith(text)
    assert len(local._shared.registry) == 0


def test_the_same_name_and_version_twice_is_refused(local):
    local.register(f)
    with pytest.raises(ValueError, match=r"^function f already registered$"):
        local.register(lambda ctx: 1, name="f")


def test_the_same_function_twice_is_refused_under_any_name(local):
    registered = local.register(f, name="first")
    for again in (f, registered):
        with pytest.raises(ValueError, match=r"^function second already registered\b") as caught:
            local.register(again, name="second", version=2)
        assert str(caught.value) == "function second already registered"
        assert caught.value.__notes__ == ["It is registered as first, version 1."]


def test_a_name_may_have_several_versions_and_zero_means_the_highest(local):
    local.register(lambda ctx: "one", name="f", version=1)
    local.register(lambda ctx: "three", name="f", version=3)
    local.register(lambda ctx: "two", name="f", version=2)
    assert local.run("a", "f") == "three"
    assert local.options(version=2).run("b", "f") == "two"
    assert local.options(version=1).rpc("c", "f") == "one"


@pytest.mark.parametrize("how", ["call", "bare", "with arguments"])
def test_register_is_a_decorator_bare_and_with_arguments(local, how):
    if how == "call":
        made = local.register(f)
    elif how == "bare":

        @local.register
        def made(ctx):
            return "f"
    else:

        @local.register(name="made", version=4)
        def made(ctx):
            return "f"

    assert isinstance(made, Function)
    assert made.name == ("f" if how == "call" else "made")
    assert made.version == (4 if how == "with arguments" else 1)
    assert made.run(how) == "f"


def test_a_registered_function_is_equal_to_the_one_it_wraps(local):
    registered = local.register(f)
    assert registered == f
    assert hash(registered) == hash(f)
    assert registered.__name__ == "f"
    assert registered.func is f
    assert {registered: 1}[f] == 1
    assert registered(None) == "f"
    assert repr(registered) == "Function(name='f', version=1)"


def test_a_registered_function_may_stand_where_the_function_may(local):
    registered = local.register(f)
    assert local.run("a", registered) == local.rpc("b", registered) == local.rpc("c", f) == "f"


def test_options_of_a_function_are_a_copy(local):
    registered = local.register(f)
    other = registered.options(timeout=0, tags={"k": "v"})
    assert other is not registered
    assert other == registered
    assert registered._resonate._calls.options.tags is None
    assert registered.run("a") == "f"


# --- what is called -------------------------------------------------------------------------------


def g(ctx, number):
    return number


@pytest.fixture
def registry():
    made = Registry()
    made.add(f, None, 1)
    made.add(g, "f", 3)
    return made


def test_a_name_means_its_highest_version_that_is_known_else_the_first(registry):
    assert registry.callee("f") == Callee("f", 3)
    assert registry.callee("f", 2) == Callee("f", 2)
    assert registry.callee("elsewhere") == Callee("elsewhere", 1)


def test_a_function_means_its_own_version_unless_another_is_asked_for(local, registry):
    assert registry.callee(f) == registry.callee(f, 1) == Callee("f", 1, f)
    assert registry.callee(f, 3) == registry.callee_here(f, 3) == Callee("f", 3, g)
    assert registry.callee(f, 2) == Callee("f", 2)
    with pytest.raises(VersionNotFoundError, match="version 2 not found"):
        registry.callee_here(f, 2)
    registered = local.register(f)
    assert registry.callee(registered) == registry.callee_here(registered) == Callee("f", 1, f)


def test_only_what_is_here_is_called_here(registry):
    assert registry.callee_here("f", 1) == Callee("f", 1, f)
    assert registry.callee_here("f") == Callee("f", 3, g)
    with pytest.raises(FunctionNotFoundError, match=r"^function elsewhere not found in registry$"):
        registry.callee_here("elsewhere")
    with pytest.raises(
        VersionNotFoundError, match=r"version 2 not found in registry, which has 1, 3$"
    ):
        registry.callee_here("f", 2)


@pytest.mark.parametrize("find", [Registry.callee, Registry.callee_here])
@pytest.mark.parametrize(
    ("func", "error", "text"),
    [
        (5, TypeError, "func must be `Callable | str`, got int"),
        (None, TypeError, "func must be `Callable | str`, got NoneType"),
        ("", ValueError, "func must not be empty"),
        (len, FunctionNotFoundError, "function len not found in registry"),
    ],
)
def test_what_cannot_be_called_is_refused_in_these_words(registry, find, func, error, text):
    with pytest.raises(error) as caught:
        find(registry, func)
    assert str(caught.value) == text


def test_arguments_are_checked_where_the_function_is_known(registry):
    registry.callee("f").check_arguments((1, 2, 3), {})
    registry.callee(g).check_arguments((1,), {})
    with pytest.raises(ArgumentsError):
        registry.callee(g).check_arguments((1, 2, 3), {})


# --- with clients ---------------------------------------------------------------------------------


def test_two_clients_may_share_a_registry(make):
    registry = Registry()
    one, two = (make(Resonate.local(registry=registry)) for _ in range(2))
    one.register(f)
    assert two.run("a", "f") == "f"


def test_a_function_without_a_place_for_its_context_is_refused(local):
    def nothing():
        return 1

    def names(*, ctx):
        return 1

    for func in (nothing, names):
        with pytest.raises(ValueError, match=f"{func.__name__} must take a context first"):
            local.register(func)
    assert local.register(lambda *args: len(args), name="any").run("id", 1) == 2


def test_clients_share_a_registry(make):
    registry = Registry()
    one, other = (make(Resonate.local(registry=registry)) for _ in range(2))
    one.register(f)
    assert other.run("id", "f") == one.run("id", "f") == "f"
