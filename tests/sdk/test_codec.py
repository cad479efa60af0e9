"""Values and errors on the wire: ours both ways, those of others one way."""

from __future__ import annotations

import base64
import enum
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonate.errors import DecodingError, EncodingError, RemoteError
from resonate.protocol.records import EMPTY, PromiseRecord, Value
from resonate.sdk import codec

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


class Color(enum.IntEnum):
    RED = 1


class Measure(float):
    pass


def stored(value):
    """Return a value as another SDK would have stored this JSON, or this text."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Value(data=base64.b64encode(text.encode()).decode())


@given(JSON)
def test_what_json_has_comes_back_equal(value):
    encoded = codec.encode(value)
    assert codec.decode(encoded, "p") == value
    if value is not None:
        assert json.loads(base64.b64decode(encoded.data)) == value
    assert encoded.headers is None


@given(st.text(), st.integers(1, 99), st.lists(JSON).map(tuple), st.dictionaries(st.text(), JSON))
def test_a_call_comes_back_equal(name, version, args, kwargs):
    try:
        param = codec.encode_call(name, version, args, kwargs)
    except EncodingError:  # half a surrogate somewhere
        json_text = json.dumps([name, args, kwargs], ensure_ascii=False)
        with pytest.raises(UnicodeEncodeError):
            json_text.encode()
        return
    assert codec.decode(param, "p") == {
        "func": name,
        "args": list(args),
        "kwargs": kwargs,
        "version": version,
    }


def test_none_is_no_data():
    assert codec.encode(None) == EMPTY
    assert codec.decode(Value(data=""), "p") is None
    assert codec.decode(Value(), "p") is None


@pytest.mark.parametrize(
    ("value", "read"),
    [((1, (2,)), [1, [2]]), (Color.RED, 1), (Measure(1.5), 1.5), ({"a": ()}, {"a": []})],
)
def test_a_tuple_becomes_a_list_and_a_subclass_its_base(value, read):
    assert codec.decode(codec.encode(value), "p") == read


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1, 2}, "value is of type set, which JSON does not have"),
        ({"a": [0, b"x"]}, "value['a'][1] is of type bytes, which JSON does not have"),
        ([0.5, [math.nan]], "value[1][0] is nan, which JSON does not have"),
        (math.inf, "value is inf, which JSON does not have"),
        (Measure("-inf"), "value is -inf, which JSON does not have"),
        ({"a": {1: 2}}, "value['a'] has the key 1: keys must be strings"),
        ({(1, 2): 2}, "value has the key (1, 2): keys must be strings"),
        ({"a": object()}, "value['a'] is of type object, which JSON does not have"),
        (["\ud800"], "value[0] is no valid Unicode: it has half a surrogate"),
        ({"\udfff": 1}, "value['\\udfff'] is no valid Unicode: it has half a surrogate"),
        (1j, "value is of type complex, which JSON does not have"),
    ],
)
def test_what_json_does_not_have_is_refused_with_its_place(value, text):
    with pytest.raises(EncodingError) as caught:
        codec.encode(value)
    assert str(caught.value) == text


def test_a_value_in_itself_and_an_endless_integer_are_refused():
    circle = []
    circle.append(circle)
    with pytest.raises(EncodingError, match="nested too deeply, or contains itself"):
        codec.encode(circle)
    with pytest.raises(EncodingError, match=r"value cannot be written: .*digits"):
        codec.encode([10**5000])


def test_arguments_are_refused_with_their_place():
    with pytest.raises(EncodingError, match=r"^args\[1\]\['x'\] is of type set"):
        codec.encode_call("f", 1, (1, {"x": set()}), {})
    with pytest.raises(EncodingError, match=r"^kwargs\['y'\] is of type bytes"):
        codec.encode_call("f", 1, (), {"y": b""})


@pytest.mark.parametrize("data", ["!!!", "eA", base64.b64encode(b"{").decode(), "/w=="])
def test_what_cannot_be_read_is_named_by_its_promise(data):
    with pytest.raises(DecodingError, match="the value of promise p/1 cannot be read"):
        codec.decode(Value(data=data), "p/1")


def test_deep_nesting_from_elsewhere_cannot_be_read_and_does_no_harm():
    with pytest.raises(DecodingError):
        codec.decode(stored("[" * 100_000), "p")


# --- errors ---------------------------------------------------------------------------------------


def there_and_back(error):
    return codec.decode_error(codec.encode_error(error), "p")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text"),
        ValueError(),
        KeyError("key"),
        KeyError(3),
        OSError(2, "No such file"),
        ZeroDivisionError("division by zero"),
        RuntimeError("a", 1, None, 2.5),
        AssertionError(),
        TimeoutError("late"),
        NotImplementedError("ö \U0001f600"),
    ],
)
def test_a_builtin_exception_comes_back_as_itself(error):
    found = there_and_back(error)
    assert type(found) is type(error)
    assert found.args == error.args
    assert str(found) == str(error)
    assert isinstance(found.__cause__, RemoteError)
    assert found.__cause__.type == type(error).__name__


def test_a_builtin_exception_with_other_arguments_keeps_type_and_text():
    error = FileNotFoundError(2, "No such file", "name")
    found = there_and_back(error)
    assert type(found) is FileNotFoundError
    assert str(found) == str(error)
    found = there_and_back(ValueError({1, 2}))
    assert (type(found), str(found)) == (ValueError, "{1, 2}")


class OwnError(Exception):
    class Inner(Exception):
        pass


OwnTimeoutError = type("TimeoutError", (Exception,), {})


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OwnError("text"), "OwnError"),
        (OwnError.Inner("text"), "OwnError.Inner"),
        (OwnTimeoutError("text"), "TimeoutError"),
        (SystemExit("text"), "SystemExit"),
        (KeyboardInterrupt("text"), "KeyboardInterrupt"),
        (GeneratorExit("text"), "GeneratorExit"),
        (StopIteration("text"), "StopIteration"),
        (StopAsyncIteration("text"), "StopAsyncIteration"),
    ],
)
def test_any_other_exception_comes_back_as_a_remote_error(error, name):
    found = there_and_back(error)
    assert type(found) is RemoteError
    assert (found.type, found.message, str(found)) == (name, "text", f"{name}: text")


def test_an_exception_that_cannot_be_made_from_text_comes_back_as_a_remote_error():
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    found = there_and_back(error)
    assert type(found) is RemoteError
    assert (found.type, found.message) == ("UnicodeDecodeError", str(error))
    found = there_and_back(ExceptionGroup("several", [ValueError("a")]))
    assert (type(found), found.type) == (RemoteError, "ExceptionGroup")
    assert "ValueError: a" in found.traceback


def test_the_traceback_travels():
    def inner():
        raise ValueError("text")

    try:
        inner()
    except ValueError as error:
        found = there_and_back(error)
    assert "in inner" in found.__cause__.traceback
    assert 'raise ValueError("text")' in found.__cause__.traceback


class Awkward(Exception):
    def __init__(self, failure):
        self.failure = failure

    def __str__(self):
        raise self.failure


@pytest.mark.parametrize("failure", [RuntimeError("no"), SystemExit(1), KeyboardInterrupt()])
def test_an_exception_without_a_text_is_still_written(failure):
    found = there_and_back(Awkward(failure))
    assert found.type == "Awkward"
    assert found.message == f"(its text cannot be had: {type(failure).__name__})"


def test_an_exception_is_written_whatever_is_in_it():
    circle = ValueError("circle")
    circle.__cause__ = circle
    assert str(there_and_back(circle)) == "circle"
    assert there_and_back(OwnError("half \ud800")).message == "half \\ud800"
    long = there_and_back(ValueError("x" * 10_000_000))
    assert len(str(long)) == 100_000


def test_an_error_is_readable_for_all_published_sdks():
    written = json.loads(base64.b64decode(codec.encode_error(ValueError("text")).data))
    assert written["__type"] == "error"
    assert written["name"] == "ValueError"
    assert written["message"] == written["__error__"] == "text"
    assert set(written) == {"__type", "name", "message", "__error__", "resonate"}


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ({"__type": "error", "message": "m", "__py_pickle": "gASV"}, "Error", "m"),
        ({"__type": "error", "name": "TypeError", "message": "m", "stack": "s"}, "TypeError", "m"),
        ({"__type": "aggregate_error", "name": "AggregateError", "message": "m", "errors": []}, "AggregateError", "m"),
        ({"__error__": "m"}, "Error", "m"),
        ({"name": "ValueError", "message": 5}, "ValueError", '{"name": "ValueError", "message": 5}'),
        ({"other": 1}, "Error", '{"other": 1}'),
        ("plain", "Rejected", '"plain"'),
        (5, "Rejected", "5"),
        ([1], "Rejected", "[1]"),
        (None, "Rejected", "null"),
        ({"__type": "error", "name": "ValueError", "message": "m", "resonate": 5}, "ValueError", "m"),
    ],
)  # fmt: skip
def test_an_error_of_others_comes_back_as_a_remote_error(value, name, message):
    data = Value(data=base64.b64encode(json.dumps(value).encode()).decode())
    found = codec.decode_error(data, "p")
    assert type(found) is RemoteError
    assert (found.type, found.message) == (name, message)
    assert found.traceback == (value.get("stack") if isinstance(value, dict) else None)


def test_a_rejection_without_json_is_still_a_rejection():
    found = codec.decode_error(stored("not json"), "p")
    assert type(found) is RemoteError
    assert "promise p cannot be read" in found.message


@given(JSON)
def test_any_rejection_can_be_raised(value):
    promise = PromiseRecord("p", "rejected", EMPTY, codec.encode(value), {}, 1, 0, 1)
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is, it is an exception
        codec.outcome(promise)


@given(JSON)
def test_any_builtin_name_and_arguments_from_elsewhere_are_harmless(arguments):
    for name in ("ValueError", "SystemExit", "eval", "__import__", "OSError", "StopIteration"):
        value = {"name": name, "message": "m", "resonate": {"builtin": arguments}}
        found = codec.decode_error(codec.encode(value), "p")
        assert isinstance(found, Exception)
        assert not isinstance(found, StopIteration)
        assert "m" in str(found)
