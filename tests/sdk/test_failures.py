"""Exceptions across processes: what comes back as itself, what as a RemoteError, and what led to it."""

from __future__ import annotations

import builtins
import copy
import datetime as dt
import inspect
import json
import pickle  # only to hold that the errors can be copied by whoever does
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resonate.errors
from resonate.errors import (
    ArgumentsError,
    DecodingError,
    DivergenceError,
    EncodingError,
    FunctionNotFoundError,
    LeaseLostError,
    NotStartedError,
    ProcessDiedError,
    RemoteError,
    ResonateCanceledError,
    ResonateError,
    ResonateShutdownError,
    ResonateStoreError,
    ResonateTimedoutError,
    ValueTooLargeError,
    VersionNotFoundError,
    register_exception,
)
from resonate.sdk import codec, failures, restoring


def there_and_back(error):
    """Return an exception as another process gets it."""
    return codec.decode_error(codec.encode_error(error), "p")


def raised(error, cause=None):
    """Return an exception that has been raised."""
    try:
        raise error from cause
    except BaseException as caught:  # noqa: BLE001  # it may be any
        return caught


class Unknown(Exception):
    pass


@register_exception
class OutOfStock(Exception):
    def __init__(self, sku, left=0):
        super().__init__(sku, left)
        self.sku = sku
        self.left = left

    def __str__(self):
        return f"{self.left} left of {self.sku}"


@register_exception(name="shop.Reduced")
class Reduced(Exception):
    """Says by itself what it is made from."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self):
        return _reduced, (self.code,)


def _reduced(code):
    return Reduced(code=code)


@register_exception
class Custom(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

    def __reduce__(self):
        return type(self), tuple(self.args[0].split(" and "))


@register_exception
class Several(ExceptionGroup):
    pass


# --- the errors of this package -------------------------------------------------------------------

OURS = [
    (ResonateError("text"), "text"),
    (ResonateStoreError("text", 503), "text"),
    (ResonateCanceledError("p/1"), "promise p/1 was canceled"),
    (ResonateTimedoutError("p", 1.5), "promise p was not settled before its deadline 1.500"),
    (NotStartedError("p", 1.5), "no worker started with promise p, before its deadline 1.500"),
    (
        NotStartedError("p", 1.5, "f version 2"),
        "no worker started with promise p, a call of f version 2, before its deadline 1.500",
    ),
    (ResonateShutdownError("text"), "text"),
    (FunctionNotFoundError("f"), "function f not found in registry"),
    (FunctionNotFoundError("f", 2), "function f version 2 not found in registry"),
    (VersionNotFoundError("f", 2), "function f version 2 not found in registry"),
    (VersionNotFoundError("f", 2, [3, 1]), "function f version 2 not found in registry, which has 1, 3"),
    (ArgumentsError("f", "(a)", "(1, 2)", "too many"), "f(a) was called with (1, 2): too many"),
    (EncodingError("text"), "text"),
    (ValueTooLargeError("value", 9, 8), "value has 9 bytes in base64, more than the 8 allowed"),
    (DecodingError("text"), "text"),
    (ProcessDiedError("f", -11), "the process that ran f died of signal 11"),
    (LeaseLostError("p"), "the lease of promise p was lost: this execution no longer counts"),
    (DivergenceError("p", "p.2", "run f", "run g"), "the code of p does not match its history: step p.2 is recorded as `run f`, and the code asks for `run g`"),
    (RemoteError("Type", "text", "trace", "module"), "Type: text"),
    (RemoteError("Type", ""), "Type"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text"), OURS, ids=lambda each: None)
def test_an_error_of_ours_reads_well_and_can_be_copied_and_sent(error, text):
    assert str(error) == text
    copies = [copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]  # noqa: S301
    for found in [*copies, there_and_back(error)]:
        assert type(found) is type(error)
        assert str(found) == text
        told = vars(error).keys() - {"traceback"}
        assert {key: vars(found)[key] for key in told} == {key: vars(error)[key] for key in told}


def test_every_error_of_ours_is_tried_and_says_what_it_means():
    classes = {
        value
        for name, value in vars(resonate.errors).items()
        if isinstance(value, type) and issubclass(value, ResonateError)
    }
    assert {type(error) for error, _ in OURS} == classes
    assert {cls.__name__ for cls in classes} | {"register_exception"} == set(
        resonate.errors.__all__
    )
    drawn = inspect.getmodule(ResonateError).__doc__
    for cls in classes:
        assert f"{cls.__name__}\n" in drawn or f"{cls.__name__} " in drawn
        assert cls.__doc__


def test_errors_that_were_others_before_still_are():
    assert issubclass(FunctionNotFoundError, ValueError)
    assert issubclass(VersionNotFoundError, FunctionNotFoundError)
    assert issubclass(ArgumentsError, TypeError)
    assert issubclass(NotStartedError, ResonateTimedoutError)
    assert issubclass(ValueTooLargeError, EncodingError)


# --- types ----------------------------------------------------------------------------------------


def test_a_registered_exception_comes_back_as_itself():
    found = there_and_back(raised(OutOfStock("pen", 3)))
    assert type(found) is OutOfStock
    assert (found.sku, found.left) == ("pen", 3)
    assert type(found.__cause__) is RemoteError
    assert (found.__cause__.type, found.__cause__.module) == ("OutOfStock", __name__)
    assert "in raised" in found.__cause__.traceback


def test_an_exception_may_say_from_what_it_is_made():
    found = there_and_back(Custom("a", "b"))
    assert (type(found), str(found)) == (Custom, "a and b")
    found = there_and_back(OSError(2, "No such file", "name"))
    assert (type(found), found.filename) == (FileNotFoundError, "name")


def test_an_exception_that_cannot_be_made_again_comes_back_as_a_remote_error():
    found = there_and_back(Reduced(code=5))
    assert type(found) is RemoteError
    assert (found.type, found.module, found.message) == ("Reduced", "shop", "code 5")
    found = there_and_back(OutOfStock(Unknown))
    assert (type(found), found.type) == (RemoteError, "OutOfStock")


def test_an_unknown_exception_says_where_it_is_defined():
    found = there_and_back(raised(Unknown("text")))
    assert (found.type, found.module, found.message) == ("Unknown", __name__, "text")
    assert "in raised" in found.traceback
    assert found.cause is None
    assert found.notes == ()


def test_the_latest_class_of_a_name_counts():
    for _ in range(2):
        Again = register_exception(type("Again", (Exception,), {"__module__": "notebook"}))  # noqa: N806
        assert type(there_and_back(Again("x"))) is Again


@pytest.mark.parametrize("wrong", [5, "ValueError", int, SystemExit, StopIteration, BaseException])
def test_only_exceptions_can_be_registered(wrong):
    with pytest.raises(TypeError, match="cls must be a subclass of Exception"):
        register_exception(wrong)
    with pytest.raises(TypeError, match="name must be"):
        register_exception(Unknown, name=5)
    assert type(there_and_back(Unknown("x"))) is RemoteError


@pytest.mark.parametrize(
    "name", [name for name, cls in vars(builtins).items() if inspect.isclass(cls) and issubclass(cls, BaseException)]
)  # fmt: skip
def test_every_builtin_exception_comes_back_as_an_exception_with_its_text(name):
    stored = {"name": name, "message": "m", "resonate": {"type": f"builtins.{name}", "args": ["m"]}}
    found = restoring.restore(stored)
    assert isinstance(found, Exception)
    assert not isinstance(found, StopIteration | StopAsyncIteration)
    assert "m" in str(found)


ID = uuid.UUID(int=1)
BUILTINS = [
    (KeyError((1, 2)), ((1, 2),)),
    (KeyError((1, (2, ID))), ((1, [2, str(ID)]),)),
    (KeyError(b"\xff"), (b"\xff",)),
    (KeyError(ID), (str(ID),)),
    (KeyError({1, 2}), ([1, 2],)),
    (KeyError(dt.date(2026, 1, 1)), ("2026-01-01",)),
    (KeyError(range(2)), ("range(0, 2)",)),
    (KeyError(float("nan")), ("nan",)),
    (LookupError("a", int), ("a", "<class 'int'>")),
    (ValueError(OutOfStock("pen")), ("0 left of pen",)),
    (OSError(2, "none", Path("a")), (2, "none")),
    (UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "bad"), ("utf-8", b"a\xff", 1, 2, "bad")),
    (UnicodeEncodeError("ascii", "\xe9", 0, 1, "bad"), ("ascii", "\xe9", 0, 1, "bad")),
    (UnicodeTranslateError("\xe9", 0, 1, "bad"), ("\xe9", 0, 1, "bad")),
    (SyntaxError("bad", ("f", 1, 1, "x", 1, 2)), ("bad", ("f", 1, 1, "x", 1, 2))),
]


@pytest.mark.parametrize(("error", "arguments"), BUILTINS, ids=range(len(BUILTINS)))
def test_a_builtin_exception_keeps_its_type_whatever_its_arguments_are(error, arguments):
    found = there_and_back(raised(error))
    assert type(found) is type(error)
    assert found.args == arguments
    assert found.__cause__.message == str(error)
    assert "in raised" in found.__cause__.traceback
    if arguments == error.args:
        assert str(found) == str(error).replace("PosixPath('a')", "'a'")
    again = there_and_back(found)
    assert (type(again), again.args) == (type(error), arguments)
    assert (again.__cause__.message, again.__cause__.cause) == (str(error), None)


def test_a_builtin_exception_keeps_its_type_if_its_arguments_are_too_large_or_not_what_it_takes():
    found = there_and_back(UnicodeDecodeError("utf-8", b"\xff" * 1_000_000, 0, 1, "bad"))
    assert type(found) is UnicodeDecodeError
    assert found.reason == "'utf-8' codec can't decode byte 0xff in position 0: bad"
    assert found.reason in str(found)
    assert type(there_and_back(KeyError((1, "x" * 1_000_000)))) is KeyError
    assert type(there_and_back(KeyError(Speechless()))) is KeyError
    odd = UnicodeEncodeError("ascii", "x", 0, 1, "bad")
    odd.args = ("odd",)
    assert type(there_and_back(odd)) is UnicodeEncodeError
    stops = there_and_back(StopIteration(ID))
    assert (type(stops), stops.type) == (RemoteError, "StopIteration")


class Speechless:
    def __repr__(self):
        raise ValueError("no words")


@pytest.mark.parametrize(
    "ours",
    [
        {"args": ["utf-8", "/w==", -9, -8, "bad"], "kinds": {"1": "bytes"}},
        {"args": ["utf-8", "/w==", 5, 1, "bad"], "kinds": {"1": "bytes"}},
        {"args": ["utf-8", "?", 0, 1, "bad"], "kinds": {"1": "bytes"}},
        {"args": ["utf-8", 5, 0, 1, "bad"], "kinds": {"1": "bytes", "9": "bytes"}},
        {"args": [1, 2], "kinds": {"0": "tuple"}},
        {"args": ["utf-8", "/w==", 0, 1, "bad"], "kinds": [1]},
        {"args": ["utf-8", "/w==", 0, 1, "bad"], "kinds": {"1": 5}},
    ],
    ids=range(7),
)
def test_wrong_arguments_of_a_builtin_exception_leave_its_type_and_text(ours):
    stored = {"name": "UnicodeDecodeError", "message": "m", "resonate": {"type": "builtins.UnicodeDecodeError", **ours}}  # fmt: skip
    found = restoring.restore(stored)
    assert (type(found), found.reason) == (UnicodeDecodeError, "m")
    assert "m" in str(found)


# --- what led to it -------------------------------------------------------------------------------


def chain(error):
    """Return what led to an exception elsewhere, one after the other."""
    found = []
    while error is not None:
        found.append(error)
        remote = error if isinstance(error, RemoteError) else error.__cause__
        error = remote.cause
    return found


def test_what_led_to_an_exception_comes_along():
    middle = raised(OutOfStock("pen"), raised(Unknown("lowest")))
    found = chain(there_and_back(raised(ValueError("top"), middle)))
    assert [type(each) for each in found] == [ValueError, OutOfStock, RemoteError]
    assert [str(each) for each in found] == ["top", "0 left of pen", "Unknown: lowest"]
    traces = [each.__cause__.traceback for each in found[:2]] + [found[2].traceback]
    assert "direct cause" in traces[0]
    assert "lowest" not in traces[1]


def test_a_context_comes_along_unless_it_is_suppressed():
    def fail(suppressed):
        try:
            raise KeyError("first")
        except KeyError:
            if suppressed:
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904  # this is what is tried

    for suppressed, expected in [(False, [ValueError, KeyError]), (True, [ValueError])]:
        with pytest.raises(ValueError, match="second") as caught:
            fail(suppressed)
        assert [type(each) for each in chain(there_and_back(caught.value))] == expected


def test_causes_end_somewhere():
    circle = ValueError("a")
    circle.__cause__ = KeyError("b")
    circle.__cause__.__cause__ = circle
    assert [type(each) for each in chain(there_and_back(circle))] == [ValueError, KeyError]
    long = None
    for index in range(1_000):
        error = Unknown(f"{index} {'x' * 100_000}")
        error.__cause__ = long
        long = error
    value = codec.encode_error(long)
    assert len(value.data) < 1_000_000
    assert len(chain(codec.decode_error(value, "p"))) == 17


def test_notes_come_along():
    error = ValueError("text")
    error.add_note("first")
    error.add_note("half \ud800")
    error.__notes__.append(5)
    found = there_and_back(error)
    assert found.__notes__ == ["first", "half \\ud800"]
    unknown = Unknown()
    unknown.add_note("note")
    assert there_and_back(unknown).notes == ("note",)
    unknown.__notes__ = 5
    assert there_and_back(unknown).notes == ()


@pytest.mark.parametrize("error", [ValueError("text"), Unknown("text"), OutOfStock("pen", 2)])
def test_an_exception_that_goes_through_several_processes_stays_what_it_was(error):
    error.add_note("note")
    error.__cause__ = KeyError("cause")
    once = found = there_and_back(raised(error, error.__cause__))
    for _ in range(5):
        found = there_and_back(raised(found, found.__cause__))
    assert (type(found), str(found)) == (type(once), str(once))
    assert found.__notes__ == ["note"]
    assert [type(each) for each in chain(found)] == [type(once), KeyError]
    assert (found.module if isinstance(found, RemoteError) else __name__) == __name__
    trace = (found if isinstance(found, RemoteError) else found.__cause__).traceback
    assert trace.count("It came here through:") == 5


def test_an_exception_becomes_itself_where_it_is_known_also_after_processes_that_do_not_know_it():
    found = there_and_back(RemoteError("ValueError", "text", "trace", "builtins"))
    assert (type(found), str(found)) == (ValueError, "text")


# --- groups ---------------------------------------------------------------------------------------


def test_a_group_comes_back_as_a_group():
    inner = ExceptionGroup("inner", [KeyError("k")])
    error = raised(ExceptionGroup("outer", [ValueError("v"), Unknown("u"), inner]))
    found = there_and_back(error)
    assert type(found) is ExceptionGroup
    assert (found.message, str(found)) == ("outer", str(error))
    assert [type(each) for each in found.exceptions] == [ValueError, RemoteError, ExceptionGroup]
    assert found.exceptions[2].exceptions[0].args == ("k",)
    assert "ExceptionGroup" in found.__cause__.type
    assert "ValueError: v" in found.__cause__.traceback
    matched, rest = found.split(KeyError)
    assert len(matched.exceptions) == 1
    assert len(rest.exceptions) == 2


def test_a_group_of_what_is_no_exception_is_a_group_of_exceptions():
    found = there_and_back(BaseExceptionGroup("stop", [KeyboardInterrupt(), SystemExit(1)]))
    assert type(found) is ExceptionGroup
    assert [each.type for each in found.exceptions] == ["KeyboardInterrupt", "SystemExit"]


def test_a_registered_group_comes_back_as_itself_and_any_other_as_a_group():
    assert type(there_and_back(Several("s", [ValueError("v")]))) is Several
    Other = type("Other", (ExceptionGroup,), {})  # noqa: N806
    found = there_and_back(Other("o", [ValueError("v")]))
    assert (type(found), found.__cause__.type) == (ExceptionGroup, "Other")


def test_a_group_is_bounded():
    many = ExceptionGroup("many", [ValueError(str(index)) for index in range(1_000)])
    found = there_and_back(many)
    assert len(found.exceptions) == 99 + 1
    assert found.exceptions[-1].message == "(901 more)"
    deep = ValueError("v")
    for _ in range(100):
        deep = ExceptionGroup("deep", [deep])
    assert isinstance(there_and_back(deep), ExceptionGroup)
    shared = ValueError("v")
    found = there_and_back(ExceptionGroup("twice", [shared, shared]))
    assert [str(each) for each in found.exceptions] == ["v", "Exception: (1 more)"]


# --- written by others ----------------------------------------------------------------------------


def test_what_others_write_reads_well():
    old = restoring.restore({"__type": "error", "message": "m", "__py_pickle": "gASVCw=="})
    assert (type(old), str(old)) == (RemoteError, "Error: m")
    oldest = restoring.restore({"__error__": "m"})
    assert (type(oldest), str(oldest)) == (RemoteError, "Error: m")
    script = restoring.restore(
        {"__type": "error", "name": "TypeError", "message": "m", "stack": "at f"}
    )
    assert (type(script), str(script), script.traceback) == (RemoteError, "TypeError: m", "at f")


def test_an_aggregate_error_is_a_group():
    stored = {
        "__type": "aggregate_error",
        "name": "AggregateError",
        "message": "All promises were rejected",
        "stack": "at any",
        "errors": [
            {"__type": "error", "name": "TypeError", "message": "a", "stack": "at f"},
            "text",
            {"other": 1},
            5,
            {"__type": "aggregate_error", "message": "b", "errors": [{"message": "c"}]},
        ],
    }
    found = restoring.restore(stored)
    assert type(found) is ExceptionGroup
    assert found.message == "All promises were rejected"
    assert (found.__cause__.type, found.__cause__.traceback) == ("AggregateError", "at any")
    assert [str(each) for each in found.exceptions] == [
        "TypeError: a", "Error: text", 'Error: {"other": 1}', "Error: 5", "b (1 sub-exception)"
    ]  # fmt: skip
    assert found.exceptions[0].traceback == "at f"
    for errors in ([], None, 5, {}):
        assert type(restoring.restore({**stored, "errors": errors})) is RemoteError


# --- hostile --------------------------------------------------------------------------------------


class Hostile(Exception):
    """Fails wherever it is looked at."""

    def __str__(self):
        raise SystemExit(1)

    def __reduce__(self):
        raise KeyboardInterrupt

    @property
    def __notes__(self):
        raise SystemExit(1)

    @property
    def __cause__(self):
        raise RuntimeError("no")


class HostileGroup(ExceptionGroup):
    @property
    def message(self):
        raise SystemExit(1)

    @property
    def exceptions(self):
        raise SystemExit(1)


def test_whatever_an_exception_does_it_is_written():
    found = there_and_back(Hostile())
    assert str(found) == "Exception: (it cannot be described)"
    assert isinstance(there_and_back(HostileGroup("m", [ValueError()])), Exception)
    wrong = RemoteError("Type", "m")
    wrong.type = wrong.message = 5
    assert isinstance(there_and_back(wrong), RemoteError)


@register_exception
class Explosive(Exception):
    def __init__(self, *args):
        if args:
            raise RecursionError("boom")


@pytest.mark.parametrize(
    "stored",
    [
        {"name": [1], "message": [2]},
        {"name": {"a": 1}, "message": None, "__error__": 5},
        {"__type": 5, "message": "m", "errors": [1]},
        {"message": "m", "resonate": {"type": 5, "args": 5, "traceback": 5, "notes": 5, "cause": 5}},
        {"message": "m", "resonate": {"type": "builtins.ValueError", "args": {"a": 1}}},
        {"message": "m", "resonate": {"type": "builtins.ExceptionGroup", "args": ["m", [1]]}},
        {"message": "m", "resonate": {"type": "builtins.ValueError", "errors": [{"message": "m"}]}},
        {"message": "m", "resonate": {"type": "builtins.eval", "args": ["1"]}},
        {"message": "m", "resonate": {"type": "os.system", "args": ["exit"]}},
        {"message": "m", "resonate": {"type": "resonate.errors.RemoteError", "args": []}},
        {"message": "m", "resonate": {"type": "resonate.errors.ResonateTimedoutError", "args": ["p", "x"]}},
        {"message": "m", "resonate": {"type": f"{__name__}.Explosive", "args": [1]}},
        {"message": "m", "resonate": {"args": ["m"], "errors": [{}, [], None, {"cause": {"cause": 1}}]}},
        {"message": "m", "resonate": {"errors": [{"message": 1}], "args": [5]}},
        {"message": "\ud800", "name": "\ud800", "resonate": {"type": "\ud800"}},
    ],
    ids=range(15),
)  # fmt: skip
def test_whatever_was_stored_it_is_an_exception_that_reads(stored):
    found = restoring.restore(stored)
    assert isinstance(found, Exception)
    assert str(found)
    assert isinstance(there_and_back(found), Exception)


def nested(depth, key):
    """Return JSON text of errors within errors."""
    return f'{{"message":"m","resonate":{{"{key}":' * depth + "5" + "}}" * depth


@pytest.mark.parametrize("depth", [20, 100, 300, 100_000])
@pytest.mark.parametrize("key", ["cause", "args", "errors", "type", "other"])
def test_errors_nested_without_end_are_a_rejection(depth, key):
    found = restoring.restore({"message": "m", "resonate": {key: list_of(depth)}})
    assert isinstance(found, Exception)
    value = codec.Value(data=codec.base64.b64encode(nested(depth, key).encode()).decode())
    assert isinstance(codec.decode_error(value, "p"), Exception)
    assert isinstance(restoring.restore(list_of(depth)), RemoteError)
    assert isinstance(restoring.restore({"name": list_of(depth)}), RemoteError)


def list_of(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def test_very_many_errors_are_read_up_to_a_bound():
    many = [{"message": "m", "cause": {"message": "n"}}] * 100_000
    found = restoring.restore(
        {"message": "m", "resonate": {"errors": many, "notes": ["x"] * 100_000}}
    )
    assert len(found.exceptions) <= 200
    assert len(found.__notes__) <= 32


def test_nothing_is_imported_that_the_wire_names():
    stored = {"message": "m", "resonate": {"type": "antigravity.Error", "args": ["m"]}}
    assert type(restoring.restore(stored)) is RemoteError
    import sys

    assert "antigravity" not in sys.modules


KEYS = ["__type", "name", "message", "__error__", "resonate", "type", "args", "cause", "errors", "notes", "traceback", "stack", "builtin"]  # fmt: skip
NAMES = ["error", "aggregate_error", "builtins.ValueError", "builtins.OSError", "builtins.ExceptionGroup", "ValueError", "resonate.errors.DivergenceError", f"{__name__}.OutOfStock"]  # fmt: skip
STORED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(STORED)
def test_any_stored_error_is_an_exception_that_can_be_sent_on(stored):
    found = restoring.restore(stored)
    assert isinstance(found, Exception)
    again = there_and_back(found)
    assert isinstance(again, Exception)
    json.dumps(failures.describe(found), allow_nan=False).encode()


@given(st.recursive(
    st.builds(ValueError, st.text()) | st.builds(KeyError, st.integers()) | st.builds(OutOfStock, st.text(max_size=5), st.integers()),
    lambda inner: st.builds(ExceptionGroup, st.text(), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=10,
))  # fmt: skip
def test_any_group_of_known_exceptions_comes_back(error):
    def form(each):
        inner = [form(one) for one in getattr(each, "exceptions", ())]
        return type(each), str(each).encode("utf-8", "backslashreplace"), inner

    assert form(there_and_back(error)) == form(error)
