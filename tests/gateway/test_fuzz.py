"""Anything at all on the wire: one answer for each whole request, never 500, and the server goes on."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resonate.protocol.requests import KINDS
from tests.gateway.wire import VERSION, Answer, chunked, get, request

STATUSES = {200, 300, 400, 401, 403, 404, 405, 408, 409, 410, 413, 422, 431, 501, 503}  # not 500
INTERIM = 100
ROUNDS = [
    pytest.param(1, id="short"),
    pytest.param(10, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
]


def every(examples, rounds):
    return settings(
        max_examples=examples * rounds,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# --- bytes ----------------------------------------------------------------------------------------

ASK = {"kind": "promise.get", "head": {"corrId": "7", "version": VERSION}, "data": {"id": "x"}}
BODY = json.dumps(ASK).encode()
WHOLE = [
    request(ASK),
    request([ASK, ASK]),
    request(ASK, b"Connection: close"),
    request(ASK, b"Expect: 100-continue"),
    request(ASK, b"Connection: Upgrade", b"Upgrade: h2c"),
    request(ASK, version=b"1.0"),
    chunked(BODY[:10], BODY[10:]),
    get(b"/"),
    get(b"/health"),
    get(b"/ready", method=b"HEAD"),
    get(b"/poll/fuzz/a?capacity=1"),
    get(b"/promises/x", method=b"PUT"),
    get(b"/nowhere"),
]
TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\x00",
        b" ",
        b":",
        b"/",
        b"?",
        b"%",
        b"\xff",
        b"{",
        b"[",
        b'"',
        b"0",
        b"-1",
    ),
    *(
        b"POST / HTTP/1.1\r\n",
        b"GET /poll/",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
    ),
    *(
        b"Upgrade: x\r\n",
        b"Connection: close\r\n",
        b"HTTP/1.0",
        b"0\r\n\r\n",
        b"99999999999999999999",
    ),
]
NOISE = st.binary(max_size=300) | st.lists(st.sampled_from([*TOKENS, *WHOLE])).map(b"".join)


@st.composite
def mutated(draw):
    """Valid requests, one after the other, with a few things done to them."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[at : at + draw(st.integers(1, 20))]
            case 2:
                data[at:at] = draw(st.sampled_from(TOKENS) | st.binary(max_size=8))
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 60))]
            case _:
                del data[at:]
    return bytes(data)


def answers(text):
    """Take apart what came back; every answer must be whole, the last one may be a stream."""
    while text:
        head, mark, text = text.partition(b"\r\n\r\n")
        assert mark, head
        answer = Answer(head, b"")
        if answer.status == INTERIM:
            continue
        assert answer.status in STATUSES, answer
        length = answer.headers.get("content-length")
        if length is None:
            assert answer.headers["content-type"] == "text/event-stream"
            assert text.startswith((b"d\r\n: connected\n\n", b": connected\n\n")), text
            return
        if text and not text.startswith(b"HTTP/1.1 "):  # else it belongs to HEAD
            answer.body, text = text[: int(length)], text[int(length) :]
            assert len(answer.body) == int(length)
        yield answer


def cut(data, points):
    points = sorted({each % (len(data) + 1) for each in points})
    return [data[a:b] for a, b in zip([0, *points], [*points, None], strict=True)]


def exchange(server, data, points):
    with server.client() as client:
        try:
            client.send(*cut(data, points))
            client.sock.shutdown(1)
        except OSError:
            pass  # it has closed already, and its answer can still be read
        return client.rest()


CUTS = st.lists(st.integers(0, 5_000), max_size=4)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_arbitrary_bytes(server, rounds):
    @every(120, rounds)
    @given(NOISE, CUTS)
    def check(data, points):
        list(answers(exchange(server, data, points)))

    check()
    server.probe()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_valid_requests_with_something_done_to_them(server, rounds):
    @every(200, rounds)
    @given(mutated(), CUTS)
    def check(data, points):
        for answer in answers(exchange(server, data, points)):
            if answer.headers.get("content-type") == "application/json" and answer.body:
                assert answer.json

    check()
    server.probe()


# --- JSON -----------------------------------------------------------------------------------------

INT64 = [0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**40]
ODD = [
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u2028",
    "☃",
    "🎉",
    "\x7f",
    "x" * 5_000,
    "é" * 3_000,
    "\ufeff",
    "\r\n\r\n",
]
IDS = st.sampled_from(["a", "b", "c", "d"])
TEXT = IDS | st.sampled_from(ODD) | st.text(max_size=20)
NUMBER = st.sampled_from(INT64) | st.integers(-5, 5) | st.integers()
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBER | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ADDRESS = (
    st.sampled_from(
        [
            *(
                "poll://any@g",
                "poll://any@g/a",
                "poll://uni@g/a",
                "poll://uni@g",
                "poll://any@",
                "http://h/x",
            ),
            *(
                "POLL://any@g",
                "poll://any@%00/%ff",
                "https://[::1",
                "http://",
                "ftp://h",
                "poll://any@g/\ud800",
            ),
        ]
    )
    | TEXT
)


def mostly(strategy):
    """Mostly the right type, now and then anything."""
    return st.integers(0, 11).flatmap(lambda chance: strategy if chance else ANYTHING)


def fields(**known):
    """An object in which each field is mostly there and mostly right."""
    return st.fixed_dictionaries(
        {}, optional={name: mostly(each) for name, each in known.items()}
    ) | (st.fixed_dictionaries({name: mostly(each) for name, each in known.items()}))


VALUE = fields(headers=st.dictionaries(TEXT, TEXT, max_size=3), data=TEXT)
TAG = st.sampled_from(
    ["resonate:target", "resonate:timer", "resonate:delay", "resonate:parent", "x"]
)
TAGS = st.dictionaries(
    TAG, ADDRESS | st.sampled_from(["true", "0", "-1", "9" * 30, "5"]), max_size=4
)
CREATE = fields(id=TEXT, timeoutAt=NUMBER, param=VALUE, tags=TAGS)
SETTLE = fields(
    id=TEXT,
    state=st.sampled_from(["resolved", "rejected", "rejected_canceled", "pending", "x"]),
    value=VALUE,
)
CALLBACK = fields(awaited=TEXT, awaiter=TEXT)
LISTENER = fields(awaited=TEXT, address=ADDRESS)


def action(kind, data):
    return fields(kind=st.just(kind), head=ANYTHING, data=data)


REF = {"id": TEXT, "version": NUMBER}
SEARCH = fields(
    state=st.sampled_from(["pending", "resolved", "acquired", "fulfilled"]) | TEXT,
    tags=ANYTHING,
    limit=NUMBER,
    cursor=TEXT | st.sampled_from(["MTox", "1:x"]),
    idPrefix=TEXT,
    rootOnly=st.booleans() | ANYTHING,
    createdFrom=NUMBER,
    settledTo=NUMBER,
    order=st.sampled_from(["id", "newest", "oldest", "up"]) | ANYTHING,
    counts=st.booleans(),
)
DATA = {
    "promise.get": fields(id=TEXT),
    "promise.create": CREATE,
    "promise.settle": SETTLE,
    "promise.register_callback": CALLBACK,
    "promise.register_listener": LISTENER,
    "task.get": fields(id=TEXT),
    "task.create": fields(pid=TEXT, ttl=NUMBER, action=action("promise.create", CREATE)),
    "task.acquire": fields(**REF, pid=TEXT, ttl=NUMBER),
    "task.fence": fields(
        **REF, action=action("promise.create", CREATE) | action("promise.settle", SETTLE)
    ),
    "task.heartbeat": fields(pid=TEXT, tasks=st.lists(mostly(fields(**REF)), max_size=4)),
    "task.suspend": fields(
        **REF, actions=st.lists(mostly(action("promise.register_callback", CALLBACK)), max_size=4)
    ),
    "task.fulfill": fields(**REF, action=action("promise.settle", SETTLE)),
    "task.release": fields(**REF, delay=NUMBER),
    "task.halt": fields(id=TEXT),
    "task.continue": fields(id=TEXT),
    "promise.search": SEARCH,
    "task.search": SEARCH,
    "schedule.get": fields(id=TEXT),
    "schedule.create": fields(
        id=TEXT,
        cron=st.sampled_from(["* * * * *", "@daily", "0 0 30 2 *", "*/7 1-5 * JAN,FEB 2 2030"])
        | TEXT,
        promiseId=st.sampled_from(["{{.id}}", "x{{.timestamp}}"]) | TEXT,
        promiseTimeout=NUMBER,
        promiseParam=ANYTHING,
        promiseTags=ANYTHING,
    ),
    "schedule.delete": fields(id=TEXT),
    "schedule.search": SEARCH,
}
HEAD = fields(corrId=TEXT, version=st.just(VERSION), auth=st.none() | TEXT)


def envelopes(kind):
    other = st.sampled_from([*DATA, "debug.reset", "promise.find", "", "\ud800"])
    return st.fixed_dictionaries(
        {
            "kind": mostly(st.just(kind) | st.just(kind) | other),
            "head": HEAD,
            "data": mostly(DATA[kind]),
        }
    )


def encodable(value):
    """JSON that can be read: no number too long, no half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def echo(value):
    """What can be told of a request: its kind and corrId, as far as they can be read."""
    if not isinstance(value, dict) or not encodable(value):
        return "unknown", "0"
    head, kind = value.get("head"), value.get("kind")
    corr_id = head.get("corrId") if isinstance(head, dict) else None
    return (
        kind if isinstance(kind, str) and kind else "unknown",
        corr_id if isinstance(corr_id, str) else "0",
    )


def hold_answer(answer, value):
    assert answer.status in STATUSES, (answer, value)
    assert answer.headers["content-type"] == "application/json"
    found = answer.json
    assert (found["kind"], found["head"]["corrId"]) == echo(value)
    assert found["head"]["status"] == answer.status
    if answer.status not in (200, 300):
        assert isinstance(found["data"], str)
        assert found["data"] != ""


def test_there_is_a_strategy_for_every_kind():
    assert DATA.keys() == KINDS.keys()


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("kind", DATA)
def test_requests_of_every_kind_with_anything_in_them(server, kind, rounds):
    with server.client() as client:

        @every(50, rounds)
        @given(st.lists(envelopes(kind), min_size=1, max_size=6))
        def check(values):
            client.send(b"".join(request(value) for value in values))
            for value in values:
                hold_answer(client.answer(), value)

        check()
    server.probe()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_batches_with_anything_in_them(server, rounds):
    elements = st.sampled_from(list(DATA)).flatmap(envelopes) | ANYTHING

    @every(80, rounds)
    @given(st.lists(elements, min_size=1, max_size=8))
    def check(values):
        with server.client() as client:
            answer = client.ask(request(values))
        assert answer.headers["content-type"] == "application/json"
        if not encodable(values):  # not JSON, as a whole
            assert (answer.status, answer.json["kind"]) == (400, "unknown")
            return
        assert answer.status == 200, (answer, values)
        assert len(answer.json) == len(values)
        for found, value in zip(answer.json, values, strict=True):
            status = found["head"]["status"]
            assert status in STATUSES, (found, value)
            assert (found["kind"], found["head"]["corrId"]) == echo(value)

    check()
    server.probe()


@pytest.mark.parametrize("rounds", ROUNDS)
def test_any_json_as_a_body_in_any_framing(server, rounds):
    with server.client() as client:

        @every(150, rounds)
        @given(
            st.lists(
                ANYTHING.filter(lambda each: not isinstance(each, list)), min_size=1, max_size=5
            ),
            st.booleans(),
            CUTS,
        )
        def check(values, in_chunks, points):
            bodies = [json.dumps(value).encode() for value in values]
            framed = [
                chunked(*filter(None, cut(each, points))) if in_chunks else request(each)
                for each in bodies
            ]
            client.send(*cut(b"".join(framed), points))
            for value in values:
                hold_answer(client.answer(), value)

        check()
    server.probe()
