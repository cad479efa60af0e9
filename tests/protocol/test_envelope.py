"""The envelope: every check of section 1.4 in its order, and what is echoed."""

from __future__ import annotations

import json

import pytest

from resonate.protocol import requests as rq
from resonate.protocol.envelope import Refusal, read, read_batch
from tests.protocol.bodies import GONE, HEAD, VALID, body, changed, inner, refusal

GET = {"kind": "promise.get", "head": HEAD, "data": {"id": "p"}}
EMPTY_KIND = "Missing or invalid 'kind' field — must be a non-empty string"
BAD_DATA = "Invalid 'data' field — must be an object"
DEBUG_OFF = "Debug operations are disabled"


def unsupported(version):
    return f"Unsupported protocol version '{version}', supported versions: [\"2026-04-01\"]"


def raw(value):
    return json.dumps(value).encode()


def head(**changes):
    found = {**HEAD, **changes}
    return {name: value for name, value in found.items() if value is not GONE}


# --- check 2: not JSON, or not an envelope --------------------------------------------------------

NOT_JSON = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nope",
    b'{"kind":}',
    b"{'kind':'promise.get'}",
    raw(GET) + b"x",
    raw(GET) + raw(GET),
    raw(GET)[:-1],
    raw(GET).replace(b'"p"', b'"p",'),
    raw(GET).replace(b'"p"', b"NaN"),
    raw(GET).replace(b'"p"', b"01"),
    raw(GET).replace(b'"p"', b'"\n"'),
    raw(GET).replace(b'"p"', b'"\\q"'),
    raw(GET).replace(b'"p"', b'"\\ud800"'),
    raw(GET).replace(b'"p"', b'"\\udc00\\ud800"'),
    raw(GET).replace(b'"p"', b'"\xff"'),
    raw(GET).replace(b'"p"', b'"\xc0\xaf"'),
    raw(GET).replace(b'"p"', b'"\xed\xa0\x80"'),
    b"\xef\xbb\xbf" + raw(GET),
    raw(GET).decode().encode("utf-16"),
]


@pytest.mark.parametrize("found", NOT_JSON)
def test_check_2_what_is_not_json_is_refused(found):
    status, text, kind, corr_id = refusal(read(found))
    assert (status, kind, corr_id) == (400, "unknown", "0")
    assert text.startswith("Invalid request envelope: ")


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "promise.get", [], [GET]])
def test_check_2_an_envelope_is_an_object(value):
    status, text, kind, corr_id = refusal(read(raw(value)))
    assert (status, kind, corr_id) == (400, "unknown", "0")
    assert text == "Invalid request envelope: expected an object"


@pytest.mark.parametrize(
    ("envelope", "kind", "corr_id"),
    [
        ({"head": HEAD, "data": {}}, "unknown", "c"),
        ({"kind": "promise.get", "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": HEAD}, "promise.get", "c"),
        ({"kind": None, "head": HEAD, "data": {}}, "unknown", "c"),
        ({"kind": 1, "head": HEAD, "data": {}}, "unknown", "c"),
        ({"kind": ["promise.get"], "head": HEAD, "data": {}}, "unknown", "c"),
        ({"kind": "promise.get", "head": None, "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": [], "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": {}, "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": head(corrId=GONE), "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": head(corrId=1), "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": head(corrId=None), "data": {}}, "promise.get", "0"),
        ({"kind": "promise.get", "head": head(version=GONE), "data": {}}, "promise.get", "c"),
        ({"kind": "promise.get", "head": head(version=1), "data": {}}, "promise.get", "c"),
        ({"kind": "promise.get", "head": head(auth=1), "data": {}}, "promise.get", "c"),
        ({"kind": "promise.get", "head": head(auth={}), "data": {}}, "promise.get", "c"),
        ({}, "unknown", "0"),
    ],
)
def test_check_2_a_missing_or_wrong_field_is_refused_with_what_can_be_echoed(
    envelope, kind, corr_id
):
    status, text, *echoed = refusal(read(raw(envelope)))
    assert (status, *echoed) == (400, kind, corr_id)
    assert text.startswith("Invalid request envelope: ")


# --- checks 3 to 8, in their order ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "corr_id", "version", "data", "status", "text"),
    [
        # check 3, before all that follow
        ("", "c", "1", [], 400, EMPTY_KIND),
        # check 4, before the version and before the kind is known
        ("promise.get", "c", "1", [], 400, BAD_DATA),
        ("promise.get", "c", "1", None, 400, BAD_DATA),
        ("nope", "c", "1", "x", 400, BAD_DATA),
        ("debug.reset", "c", "1", 5, 400, BAD_DATA),
        # check 5, before the kind is known and before the shape of data
        ("promise.get", "c", "2025-01-01", {"id": "p"}, 400, unsupported("2025-01-01")),
        ("promise.get", "c", "", {"id": 5}, 400, unsupported("")),
        ("nope", "c", "x", {}, 400, unsupported("x")),
        ("debug.reset", "c", "x", {}, 400, unsupported("x")),
        ("promise.get", "c", "x", {"id": ""}, 400, unsupported("x")),
        # check 7, before the shape of data
        ("nope", "c", "2026-04-01", {"id": 5}, 400, "Unknown operation: nope"),
        ("promise.GET", "c", "2026-04-01", {}, 400, "Unknown operation: promise.GET"),
        ("Request", "c", "2026-04-01", {}, 400, "Unknown operation: Request"),
        ("debug.reset", "c", "2026-04-01", {}, 403, DEBUG_OFF),
        ("debug.", "c", "2026-04-01", {}, 403, DEBUG_OFF),
        ("debug", "c", "2026-04-01", {}, 400, "Unknown operation: debug"),
        # an empty correlation id is one
        ("nope", "", "2026-04-01", {}, 400, "Unknown operation: nope"),
    ],
)
def test_checks_3_to_7_in_their_order(kind, corr_id, version, data, status, text):
    sent = raw({"kind": kind, "head": {"corrId": corr_id, "version": version}, "data": data})
    assert refusal(read(sent)) == (status, text, kind or "unknown", corr_id)


# --- what is accepted -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALID)
def test_unknown_fields_are_ignored_at_every_level(kind):
    def grown(value):
        if isinstance(value, dict):
            return {
                **{name: grown(each) for name, each in value.items()},
                "resonate:origin": "x",
                "": [{}],
            }
        return [grown(each) for each in value] if isinstance(value, list) else value

    data = grown(
        changed(kind, **({"param": GONE, "tags": GONE} if kind == "promise.create" else {}))
    )
    for path in (("action", "data"), ()):
        place = data
        for name in path:
            place = place.get(name, {})
        for named in ("param", "tags", "value", "promiseParam", "promiseTags"):
            if named in place:
                place[named] = {"resonate:target": "poll://any@g"} if named == "tags" else {}
    sent = {
        "kind": kind,
        "head": {**HEAD, "resonate:origin": "o", "resonate:debug_time": "never"},
        "data": data,
        "x": 1,
    }
    assert isinstance(read(raw(sent)), rq.KINDS[kind])


def test_what_is_read_is_what_was_sent():
    request = read(
        body(
            "promise.create",
            {
                "id": "\U0001f600\x00é"[:1],
                "timeoutAt": 7,
                "param": {"headers": {"a": "b"}, "data": "d"},
                "tags": {"t": "v"},
            },
        )
    )
    assert request == rq.PromiseCreate(
        rq.Head("c", "2026-04-01"),
        rq.PromiseCreateData("\U0001f600", 7, rq.Value({"a": "b"}, "d"), {"t": "v"}),
    )


def test_a_token_is_kept_and_null_is_none():
    for token in ("jwt", None):
        assert read(raw({**GET, "head": head(auth=token)})).head.auth == token


def test_the_order_of_fields_and_escapes_and_space_do_not_matter():
    plain = read(raw(GET))
    assert read(raw(dict(reversed(GET.items())))) == plain
    assert read(b" \n\t\r" + json.dumps(GET, indent=2).encode() + b" \n") == plain
    assert (
        read(
            raw(GET)
            .replace(b'"promise.get"', b'"promise\\u002eget"')
            .replace(b'"id"', b'"\\u0069d"')
        )
        == plain
    )


def test_of_a_field_that_is_there_twice_the_last_counts_if_all_have_the_right_type():
    assert read(raw(GET).replace(b'"id"', b'"id":"q","id"')).data.id == "p"
    assert isinstance(read(raw(GET).replace(b'"id"', b'"id":5,"id"')), Refusal)
    assert isinstance(read(raw(GET).replace(b'"kind"', b'"kind":"task.get","kind"')), Refusal)


@pytest.mark.parametrize(
    "deep",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000],
)
def test_deep_nesting_is_refused_wherever_it_is(deep):
    fulfill = body("task.fulfill", changed("task.fulfill", action__head="DEEP"))
    for place in (
        deep,
        raw(GET).replace(b'"p"', deep),
        raw({**GET, "x": "DEEP"}).replace(b'"DEEP"', deep),
        fulfill.replace(b'"DEEP"', deep),
    ):
        status, text, *_ = refusal(read(place))
        assert status == 400
        assert text.startswith("Invalid request envelope: ")
    status, text, *_ = refusal(read_batch(b"[" + deep + b"]"))
    assert (status, text) == (400, "Invalid request envelope: nested too deeply")


def test_nested_requests_need_neither_kind_nor_head():
    for kind in ("task.create", "task.fulfill"):
        bare = {"action": {"data": VALID[kind]["action"]["data"]}}
        wrong = {"action": {**inner(), **bare["action"], "kind": "task.halt", "head": 5}}
        for changes in (bare, wrong):
            assert isinstance(read(body(kind, changed(kind, **changes))), rq.KINDS[kind])
    bare = {"actions": [{"data": {"awaited": "a", "awaiter": "t"}}]}
    assert isinstance(read(body("task.suspend", changed("task.suspend", **bare))), rq.TaskSuspend)
