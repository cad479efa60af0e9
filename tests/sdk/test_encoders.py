"""Encoders: what is stored comes back, and what is forged is refused."""

from __future__ import annotations

import base64
import importlib
import os
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonate.errors import DecodingError, EncodingError
from resonate.protocol.records import Value
from resonate.sdk import codec
from resonate.sdk.encoders import Chain, Compression

ROOT = Path(__file__).resolve().parents[2]


class Shift:
    """Moves every byte, so that the order of encoders shows."""

    def __init__(self, by):
        self.by = by

    def encode(self, data):
        return bytes((each + self.by) % 256 for each in data)

    def decode(self, data):
        return bytes((each - self.by) % 256 for each in data)


class Double:
    def encode(self, data):
        return data + data

    def decode(self, data):
        return data[: len(data) // 2]


MARKED = Compression(1).encode(b"x" * 100)[:3]


@given(st.binary(), st.integers(0, 50))
def test_any_bytes_come_back_from_compression(data, minimum):
    for encoder in (Compression(minimum), Compression(minimum, level=9)):
        for each in (data, data * 50, MARKED + data, MARKED):
            assert encoder.decode(encoder.encode(each)) == each


def test_few_bytes_and_those_that_gain_nothing_are_left_alone():
    assert Compression(100).encode(b"x" * 99) == b"x" * 99
    assert len(Compression(100).encode(b"x" * 100)) < 30
    noise = os.urandom(2_000)
    assert Compression(100).encode(noise) == noise


def test_what_was_stored_before_compression_is_read():
    value = codec.encode({"a": "x" * 5_000})
    assert codec.decode(value, "p", encoder=Compression()) == {"a": "x" * 5_000}
    smaller = codec.encode({"a": "x" * 5_000}, encoder=Compression())
    assert len(smaller.data) < len(value.data) / 10
    assert codec.decode(smaller, "p", encoder=Compression()) == {"a": "x" * 5_000}


def test_a_bomb_is_refused_before_it_is_whole():
    bomb = MARKED + zlib.compress(b"[" * 10_000_000, 9)
    assert len(bomb) < 20_000
    value = Value(data=base64.b64encode(bomb).decode())
    with pytest.raises(DecodingError, match="more than the 1000000 bytes allowed"):
        codec.decode(value, "p", encoder=Compression(maximum=1_000_000))


def test_a_value_that_could_not_be_read_again_is_not_written():
    encoder = Compression(maximum=100)
    assert encoder.decode(encoder.encode(b"x" * 100)) == b"x" * 100
    with pytest.raises(EncodingError, match="101 bytes are more than the 100 allowed"):
        codec.encode("x" * 99, encoder=encoder)


@pytest.mark.parametrize(
    "data",
    [
        MARKED,
        MARKED + b"no zlib",
        MARKED + zlib.compress(b"[1]")[:-1],
        MARKED + zlib.compress(b"[1]") + b"x",
    ],
)
def test_compressed_data_that_is_forged_is_refused(data):
    value = Value(data=base64.b64encode(data).decode())
    with pytest.raises(DecodingError, match="the value of promise p cannot be read"):
        codec.decode(value, "p", encoder=Compression())


@pytest.mark.parametrize("wrong", [{"level": 0}, {"level": 10}, {"maximum": 0}])
def test_wrong_settings_of_compression_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Compression(**wrong)


def test_a_chain_decodes_in_the_opposite_order():
    chain = Chain(Double(), Shift(3), Compression(1))
    data = b"some text" * 20
    assert chain.encode(data) == Compression(1).encode(Shift(3).encode(data + data))
    assert chain.decode(chain.encode(data)) == data
    assert Chain().encode(data) == Chain().decode(data) == data


@given(st.binary(), st.integers(0, 255))
def test_a_chain_brings_back_any_bytes(data, by):
    chain = Chain(Shift(by), Compression(0), Double(), Compression(10))
    assert chain.decode(chain.encode(data)) == data


@pytest.fixture
def encryption(monkeypatch):
    """Return the module of the example."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "encryption"))
    yield importlib.import_module("encryption")
    sys.modules.pop("encryption")


def test_the_example_encrypts_and_changes_its_keys(encryption):
    old, new = {"a": b"1" * 32}, {"b": b"2" * 32}
    value = codec.encode({"a": "secret"}, encoder=encryption.Encryption(old))
    assert b"secret" not in base64.b64decode(value.data)
    both = encryption.Encryption({**new, **old})
    assert codec.decode(value, "p", encoder=both) == {"a": "secret"}
    with pytest.raises(DecodingError, match="there is no key 'a' here"):
        codec.decode(value, "p", encoder=encryption.Encryption(new))
    with pytest.raises(DecodingError, match="it was changed, or encrypted with another key"):
        codec.decode(value, "p", encoder=encryption.Encryption({"a": b"3" * 32}))
    with pytest.raises(DecodingError, match="it is not encrypted"):
        codec.decode(codec.encode(1), "p", encoder=both)
    plain = encryption.Encryption(new, plain=True)
    assert codec.decode(codec.encode(1), "p", encoder=plain) == 1


def test_the_example_notices_every_change(encryption):
    encoder = encryption.Encryption({"a": b"1" * 32})
    data = encoder.encode(b"[1]")
    assert encoder.decode(data) == b"[1]"
    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        for forged in (bytes(changed), data[:index]):
            with pytest.raises((ValueError, LookupError)):
                encoder.decode(forged)


def test_encoders_show_what_they_are():
    assert repr(Chain(Compression(5))) == "Chain(Compression(5, level=6, maximum=67108864))"
