"""Addresses (section 6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resonate.protocol import addresses
from resonate.protocol.addresses import (
    Address,
    any_route,
    function_key,
    function_of,
    function_routes,
    has_function,
    is_pushed,
    parse_address,
    push_group,
    route_of,
    uni_route,
)

BMP = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("poll://any@g", Address("any", "poll://any@g", "g")),
        ("poll://any@g/", Address("any", "poll://any@g", "g")),
        ("poll://any@g/a", Address("any", "poll://any@g", "g", "a")),
        ("poll://uni@g/a", Address("uni", "poll://uni@g/a", "g", "a")),
        (
            "poll://uni@g/a/b?c#d@e:f",
            Address("uni", "poll://uni@g/a%2Fb%3Fc%23d%40e%3Af", "g", "a/b?c#d@e:f"),
        ),
        ("poll://any@a b", Address("any", "poll://any@a%20b", "a b")),
        ("poll://any@é", Address("any", "poll://any@%C3%A9", "é")),
        (
            "poll://uni@\U0001f600/\u2028",
            Address("uni", "poll://uni@%F0%9F%98%80/%E2%80%A8", "\U0001f600", "\u2028"),
        ),
        (
            "poll://uni@g/line\nbreak",
            Address("uni", "poll://uni@g/line%0Abreak", "g", "line\nbreak"),
        ),
        ("http://h", Address("http", "http://h")),
        ("https://user:pw@h:8080/a?b#c", Address("http", "https://user:pw@h:8080/a?b#c")),
        ("http://[::1]:80/", Address("http", "http://[::1]:80/")),
    ],
)
def test_valid(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("scheme", ["poll", "POLL", "Poll", "pOLL"])
def test_the_scheme_is_case_insensitive(scheme):
    assert parse_address(f"{scheme}://any@g/A") == parse_address("poll://any@g/A")
    assert parse_address("HTTP://h") == Address("http", "HTTP://h")
    assert parse_address("hTTps://h").cast == "http"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "g",
        "any@g",
        "poll:any@g",
        "poll:/any@g",
        "//any@g",
        "://any@g",
        "1poll://any@g",
        " poll://any@g",
        "poll://",
        "poll://any",
        "poll://any@",
        "poll://any@/",
        "poll://any@/a",
        "poll://g",
        "poll://ANY@g",
        "poll://Uni@g/a",
        "poll://all@g",
        "poll://uni@g",
        "poll://uni@g/",
        "poll://any@a?b",
        "poll://any@a#b",
        "poll://any@a@b",
        "poll://any@a:b",
        "poll://any@a\x00",
        "poll://any@a\n",
        "poll://any@a\x1f",
        "poll://any@a\x7f",
        "poll://any@a\x80",
        "poll://any@a\x9f",
        "http://",
        "http:///path",
        "http://?q",
        "http://:80",
        "http://user@",
        "http://[::1",
        "http://a b",
        "http://a\nb",
        "http://a\x7fb",
        "http://h\x00",
        "https:h",
        "gcps://project/topic",
        "bash://x",
        "ftp://h",
        "file:///etc/passwd",
    ],
)
def test_invalid(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("poll://any@a%20b", "poll://any@a b"),
        ("poll://any@%67", "poll://any@g"),
        ("poll://uni@g/x%2Fy", "poll://uni@g/x/y"),
        ("poll://uni@g/x%2fy", "poll://uni@g/x%2Fy"),
        ("poll://any@%C3%A9", "poll://any@é"),
        ("poll://uni@g/100%", "poll://uni@g/100%25"),
        ("poll://uni@g/%zz", "poll://uni@g/%25zz"),
    ],
)
def test_percent_encoding_is_decoded_before_comparing(written, plain):
    assert parse_address(written) == parse_address(plain)


@pytest.mark.parametrize("character", "/?#@:")
def test_an_encoded_delimiter_belongs_to_the_name_of_the_group(character):
    assert parse_address(f"poll://any@a%{ord(character):02X}b").group == f"a{character}b"


def test_decoding_is_done_once():
    assert parse_address("poll://any@a%2520b").group == "a%20b"


def test_an_http_address_is_left_as_it_is():
    assert parse_address("http://h/a%2Fb").route == "http://h/a%2Fb"
    assert parse_address("http://h").route != parse_address("http://H").route


@settings(max_examples=150, deadline=None)
@given(group=BMP, member=BMP)
def test_a_route_is_itself_an_address_and_names_what_it_was_made_of(group, member):
    assert parse_address(any_route(group)) == Address("any", any_route(group), group)
    address = parse_address(uni_route(group, member))
    assert address == Address("uni", uni_route(group, member), group, member)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="poluniayhtsg://@%2F?# \x00é[]."))
def test_whatever_the_text_parsing_is_total_and_its_route_is_stable(text):
    address = parse_address(text)
    if address is not None:
        again = parse_address(address.route)
        assert again is not None
        assert (again.cast, again.route, again.group) == (
            address.cast,
            address.route,
            address.group,
        )


@pytest.mark.parametrize(
    ("address", "pushed"),
    [("http://h/x", True), ("HTTPS://h", True), ("poll://any@g", False), ("POLL://uni@g/m", False)],
)
def test_tasks_are_pushed_to_http_addresses_and_to_no_others(address, pushed):
    assert is_pushed(parse_address(address).route) == pushed


def test_the_group_of_an_http_address_is_none_that_a_connection_can_be_of():
    assert push_group("http://h") != push_group("http://h/")
    assert parse_address(f"poll://any@{push_group('http://h')}") is None
    assert parse_address(f"poll://any@{push_group('g')}") is None


def test_long_texts_are_not_remembered():
    held = addresses._remembered.cache_info
    parse_address("poll://any@" + "g" * 200)
    before = held().currsize
    long = "poll://any@" + "g" * 5_000
    assert parse_address(long).group == "g" * 5_000
    assert parse_address(long + "?") is None
    assert held().currsize == before


def test_what_is_remembered_is_bounded():
    assert addresses._remembered.cache_info().maxsize == 4_096


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "version", "key"),
    [
        ("f", "1", "f"),
        ("f", "2", "f:2"),
        ("f:2", "1", "f%3A2"),
        ("a,b#c/é", "1", "a%2Cb%23c%2F%C3%A9"),
        ("f", "1:1", "f:1%3A1"),
    ],
)
def test_the_key_of_a_function_tells_name_and_version_apart(name, version, key):
    assert function_key(name, version) == key


@pytest.mark.parametrize(
    ("target", "name", "version", "route"),
    [
        ("poll://any@g", "f", None, "poll://any@g#f"),
        ("poll://any@g", "f", "1", "poll://any@g#f"),
        ("poll://any@g", "f", "", "poll://any@g#f"),
        ("poll://any@g/w", "f", "2", "poll://any@g#f:2"),
        ("poll://any@g", None, "2", "poll://any@g"),
        ("poll://any@g", "", None, "poll://any@g"),
        ("poll://uni@g/w", "f", None, "poll://uni@g/w"),
        ("http://host/a#f", "f", None, "http://host/a#f"),
        ("nowhere", "f", None, None),
    ],
)
def test_tasks_of_a_function_have_a_route_of_their_own(target, name, version, route):
    assert route_of(target, name, version) == route


@pytest.mark.parametrize(
    ("route", "function"),
    [
        (any_route("g"), None),
        (any_route("g", "f:2"), "f:2"),
        (uni_route("g", "w#f"), None),
        ("http://host/a#f", None),
    ],
)
def test_a_route_tells_the_function_of_its_tasks(route, function):
    assert function_of(route) == function
    assert has_function(route) == (function is not None)


def test_the_routes_of_the_functions_of_a_group_lie_between_two_texts():
    low, high = function_routes("g")
    inside = [any_route("g", key) for key in ("a", "~", function_key("\U0010ffff", "9"), "f:2")]
    outside = [any_route("g"), any_route("g$"), any_route("gg", "f"), uni_route("g", "f")]
    assert all(low < route < high for route in inside)
    assert not any(low < route < high for route in outside)
