"""Cursors of pages in order of age (section 8.6)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonate.protocol.cursors import decode_cursor, encode_cursor
from resonate.protocol.limits import INT64_MAX

characters = st.characters(exclude_categories=["Cs"])


def coded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def test_a_cursor_is_the_one_of_the_reference():
    assert encode_cursor(1_795_449_511_265, "leaf") == "MTc5NTQ0OTUxMTI2NTpsZWFm"


@settings(max_examples=200, deadline=None)
@given(instant=st.integers(0, INT64_MAX), promise_id=st.text(characters))
def test_a_cursor_reads_back_as_it_was_made(instant, promise_id):
    assert decode_cursor(encode_cursor(instant, promise_id)) == (instant, promise_id)


@pytest.mark.parametrize("promise_id", ["a", "a:1", "", ":", "é\U0001f600", "p:notify:http://h"])
def test_an_id_may_hold_anything(promise_id):
    assert decode_cursor(encode_cursor(7, promise_id)) == (7, promise_id)


@pytest.mark.parametrize(
    "text",
    [
        "leaf",  # base64, but of no text
        "no base64!",
        "MTc5",  # no colon
        " MTpw",
        "MTpw\n",
        "é",
        "",
        coded(b"1:\xff"),
        coded(":p"),
        coded("-1:p"),
        coded("+1:p"),
        coded(" 1:p"),
        coded("1.0:p"),
        coded("1_0:p"),
        coded("x:p"),
        coded("\u0661:p"),
        coded("\u00b2:p"),
        coded(f"{INT64_MAX + 1}:p"),
        coded("1" * 20 + ":p"),
        coded("9" * 5_000 + ":p"),
    ],
)
def test_what_cannot_be_read_is_no_cursor(text):
    assert decode_cursor(text) is None


@settings(max_examples=200, deadline=None)
@given(st.text(characters) | st.binary().map(coded))
def test_whatever_the_text_decoding_is_total(text):
    found = decode_cursor(text)
    assert found is None or 0 <= found[0] <= INT64_MAX
