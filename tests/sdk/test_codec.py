"""Values and errors on the wire: ours both ways, those of others one way."""

from __future__ import annotations

import base64
import enum
import json
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonate.errors import (
    DecodingError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateTimedoutError,
    ValueTooLargeError,
)
from resonate.protocol.records import EMPTY, PromiseRecord, Value
from resonate.sdk import codec
from resonate.sdk.encoders import Compression

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
        (range(2), "value is of type range, which JSON does not have"),
        ({"a": [0, iter(())]}, "value['a'][1] is of type tuple_iterator, which JSON does not have"),
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
    with pytest.raises(EncodingError, match=r"^args\[1\]\['x'\] is of type object"):
        codec.encode_call("f", 1, (1, {"x": object()}), {})
    with pytest.raises(EncodingError, match=r"^kwargs\['y'\] is of type complex"):
        codec.encode_call("f", 1, (), {"y": 1j})


@pytest.mark.parametrize("data", ["!!!", "eA", base64.b64encode(b"{").decode(), "/w=="])
def test_what_cannot_be_read_is_named_by_its_promise(data):
    with pytest.raises(DecodingError, match="the value of promise p/1 cannot be read"):
        codec.decode(Value(data=data), "p/1")


def test_deep_nesting_from_elsewhere_cannot_be_read_and_does_no_harm():
    with pytest.raises(DecodingError):
        codec.decode(stored("[" * 100_000), "p")


# --- types, encoders, limits ----------------------------------------------------------------------


class Reverse:
    def encode(self, data):
        return data[::-1]

    def decode(self, data):
        return data[::-1]


class Broken:
    def __init__(self, answer=None):
        self.answer = answer

    def encode(self, data):
        if self.answer is None:
            raise LookupError("no key, and a secret")
        return self.answer

    decode = encode


class Wordy(Exception):
    pass


def settled(value, state="resolved"):
    return PromiseRecord("p", state, EMPTY, value, {}, 1_500, 0, 1)


def test_a_value_is_read_as_the_type_that_is_asked_for():
    id = uuid.uuid4()
    value = codec.encode({"a": [id]})
    assert codec.decode(value, "p") == {"a": [str(id)]}
    assert codec.decode(value, "p", type=dict[str, list[uuid.UUID]]) == {"a": [id]}
    assert codec.outcome(settled(value), type=dict[str, set[uuid.UUID]]) == {"a": {id}}
    with pytest.raises(DecodingError, match=r"the value of promise p is no list\[int\]: expected"):
        codec.outcome(settled(value), type=list[int])


def test_an_encoder_stands_between_json_and_base64():
    value = codec.encode([1, 2], encoder=Reverse())
    assert base64.b64decode(value.data) == b"]2,1["
    assert codec.decode(value, "p", encoder=Reverse()) == [1, 2]
    assert codec.outcome(settled(value), encoder=Reverse(), type=tuple[int, int]) == (1, 2)
    call = codec.encode_call("f", 2, (1,), {"a": None}, encoder=Reverse())
    read = codec.decode(call, "p", encoder=Reverse())
    assert read == {"func": "f", "args": [1], "kwargs": {"a": None}, "version": 2}


def test_an_encoder_never_sees_none():
    assert codec.encode(None, encoder=Broken()) == EMPTY
    assert codec.decode(EMPTY, "p", encoder=Broken()) is None


def test_an_encoder_that_fails_is_named_with_its_cause():
    with pytest.raises(
        EncodingError, match="value cannot be written: the encoder Broken"
    ) as caught:
        codec.encode(1, encoder=Broken())
    assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(EncodingError, match="the call of f cannot be written"):
        codec.encode_call("f", 1, (), {}, encoder=Broken())
    with pytest.raises(DecodingError, match="of promise p cannot be read: the encoder") as caught:
        codec.decode(codec.encode(1), "p", encoder=Broken())
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("answer", ["text", b"", 5])
def test_an_encoder_must_return_bytes(answer):
    with pytest.raises(EncodingError, match="the encoder Broken returned no bytes"):
        codec.encode(1, encoder=Broken(answer))
    with pytest.raises(DecodingError):
        codec.decode(codec.encode(1), "p", encoder=Broken(answer))


def test_what_was_stored_without_the_encoder_is_not_read_past_it():
    with pytest.raises(DecodingError):
        codec.decode(codec.encode({"a": 1}), "p", encoder=Reverse())


@pytest.mark.parametrize("length", range(8))
def test_the_limit_is_that_of_the_base64_text(length):
    value = "x" * length
    size = len(codec.encode(value).data)
    assert codec.encode(value, limit=size) == codec.encode(value)
    with pytest.raises(ValueTooLargeError) as caught:
        codec.encode(value, "data", limit=size - 1)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
    assert str(caught.value) == f"data has {size} bytes in base64, more than the {size - 1} allowed"


def test_a_call_has_a_limit_that_counts_what_the_encoder_makes():
    with pytest.raises(ValueTooLargeError, match="the call of f has"):
        codec.encode_call("f", 1, ("x" * 5_000,), {}, limit=1_000)
    codec.encode_call("f", 1, ("x" * 5_000,), {}, limit=1_000, encoder=Compression())


def test_an_error_goes_through_the_encoder():
    value = codec.encode_error(ValueError("secret"), encoder=Reverse())
    assert b"secret" not in base64.b64decode(value.data)
    found = codec.decode_error(value, "p", encoder=Reverse())
    assert (type(found), str(found)) == (ValueError, "secret")
    with pytest.raises(ValueError, match="secret"):
        codec.outcome(settled(value, "rejected"), encoder=Reverse())


def test_an_error_that_the_encoder_refuses_tells_nothing_of_itself():
    value = codec.encode_error(ValueError("secret"), encoder=Broken())
    assert b"secret" not in base64.b64decode(value.data)
    found = codec.decode_error(value, "p")
    assert type(found) is EncodingError
    assert str(found) == "an error could not be written: its encoder raised LookupError"


def test_an_error_that_the_encoder_cannot_read_is_still_a_rejection():
    found = codec.decode_error(codec.encode_error(ValueError("text")), "p", encoder=Broken())
    assert type(found) is RemoteError
    assert "the value of promise p cannot be read" in str(found)
    assert isinstance(found.__cause__, DecodingError)


def test_an_error_that_is_too_large_loses_what_led_to_it_and_the_end_of_its_message():
    error = Wordy("x" * 90_000)
    error.__cause__ = ValueError("y" * 90_000)
    whole = codec.decode_error(codec.encode_error(error, limit=1_000_000), "p")
    assert len(whole.message) == 90_000
    assert isinstance(whole.cause, ValueError)
    value = codec.encode_error(error, limit=100_000)
    assert len(value.data) <= 100_000
    short = codec.decode_error(value, "p")
    assert (short.type, short.message, short.cause) == ("Wordy", "x" * 10_000, None)


def test_any_end_of_a_promise_is_an_outcome():
    with pytest.raises(ResonateCanceledError, match="promise p was canceled"):
        codec.outcome(settled(EMPTY, "rejected_canceled"))
    with pytest.raises(ResonateTimedoutError, match=r"before its deadline 1\.500"):
        codec.outcome(settled(EMPTY, "rejected_timedout"))
    with pytest.raises(AssertionError):
        codec.outcome(settled(EMPTY, "pending"))


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


def test_an_exception_that_cannot_be_made_from_text_comes_back_as_itself():
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    found = there_and_back(error)
    assert type(found) is UnicodeDecodeError
    assert (found.object, str(found)) == (b"\xff", str(error))


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
        value = {
            "name": name,
            "message": "m",
            "resonate": {"type": f"builtins.{name}", "args": arguments},
        }
        found = codec.decode_error(codec.encode(value), "p")
        assert isinstance(found, Exception)
        assert not isinstance(found, StopIteration)
        assert "m" in str(found)
