"""Values for random requests, good and bad, and ways to spoil a request that was good."""

from __future__ import annotations

import random
from typing import Any

from resonate.protocol.limits import ID_BYTES_MAX, INT64_MAX, INT64_MIN
from tests.model.door import DEBUG_TIME

IDS = ("a", "b", "c", "d", "e", "f")
ODD_IDS = (
    *("é", "\N{COLLISION SYMBOL}", "\uffff", "p", "p:notify:http://h", "a b", "a/b", "a:1", "a.1"),
    *("{{.id}}", "{{.timestamp}}", "%", "_", "'", '"', "\\", "\n", "A", "\x7f", "\u2028"),
    "\N{COLLISION SYMBOL}" * (ID_BYTES_MAX // 4),
)
BAD_IDS = ("", "a\0b", "x" * (ID_BYTES_MAX + 1), "é" * (ID_BYTES_MAX // 2 + 1))
PIDS = ("p1", "p2", "é \N{COLLISION SYMBOL}")
TARGETS = (
    *("poll://any@g", "poll://any@g", "poll://any@g/p1", "poll://uni@g/p1", "poll://any@g/"),
    *("http://h", "https://h/x?y", "POLL://any@é", "poll://any@a%20b/x%2Fy"),
)
BAD_ADDRESSES = (
    *("poll://uni@g", "poll://uni@g/", "poll://any@", "poll://all@g", "poll://any@a:b"),
    *("gcps://p/t", "bash://x", "http://", "x", "poll://ANY@g", " poll://any@g", "ftp://h"),
)
LISTENERS = ("poll://uni@g/p1", "http://h", "poll://any@g", "https://é/")
BRANCHES = ("a", "b", "root", "")
VALUES = (
    *({}, {"data": "Mg=="}, {"headers": {"h": "v"}, "data": ""}, {"headers": {}, "data": None}),
    *({"headers": None, "data": "é\N{COLLISION SYMBOL}\0"}, {"headers": {"": ""}, "x": 1}),
)
CRONS = (
    *("* * * * *", "*/10 * * * * *", "@hourly", "@daily", "0 9 * * MON-FRI", "0 0 1 1 ? 2024"),
    *("0 0 0 1 1 * 2024", "0 0 0 1 1 * 2024", "@yearly"),
)
BAD_CRONS = ("x", "0 0 * * 0", "0 0 30 2 *", "0 0 0 1 1 * 1999", "60 * * * *", "* * *", "@never")
TEMPLATES = ("{{.id}}-{{.timestamp}}", "once-{{.id}}", "{{.timestamp}}.{{.id}}", "{{.id}}")
BAD_TEMPLATES = ("", "a\0{{.id}}", "{{.id}}" * 600, "x" * (ID_BYTES_MAX + 1))
BAD_TICKS = ({}, {"time": None}, {"time": "1"}, {"time": 1.5}, {"time": True}, {"time": 2**63})

LONG_BATCH = "long batch"
BROKEN_BODIES = (
    *("", "{", "null", "5", '"x"', "true", "[", "[]", "[{]", LONG_BATCH),
    *('[1, null, "x", []]', '{"kind": "promise.get"}', "{}", '{"data": {}}', "NaN", "{} {}"),
)

WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1.0, "", "1", [], {}, {"a": 1}, [None], "x", 2**63, -(2**63) - 1),
    *(INT64_MAX, INT64_MIN),
)


def mangle(chooser: random.Random, data: dict[str, Any]) -> None:
    """Spoil one field, somewhere in the data of a request: take it away, or give it a wrong value."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for name, child in node.items() if isinstance(node, dict) else enumerate(node):
            places.append((node, name))
            if isinstance(child, dict | list):
                collect(child)

    collect(data)
    if not places:
        data["unknown"] = chooser.choice(WRONG)
        return
    chance = chooser.random()
    texts = [(node, name) for node, name in places if isinstance(node[name], str)]
    if texts and chance < 0.4:  # of the right type, and not allowed
        node, name = chooser.choice(texts)
        node[name] = chooser.choice(BAD_IDS)
        return
    node, name = chooser.choice(places)
    chance = chooser.random()
    if chance < 0.3:
        del node[name]
    elif chance < 0.45:
        node[name] = None
    elif chance < 0.55 and isinstance(node, dict):
        node["unknown"] = chooser.choice(WRONG)
    else:
        node[name] = chooser.choice(WRONG)


def mangle_envelope(chooser: random.Random, envelope: dict[str, Any]) -> Any:
    """Spoil the envelope."""
    head = envelope["head"]
    match chooser.randrange(9):
        case 0:
            del envelope[chooser.choice(("kind", "head", "data"))]
        case 1:
            del head[chooser.choice(("corrId", "version"))]
        case 2:
            head[chooser.choice(("corrId", "version", "auth"))] = chooser.choice((1, [], {}, True))
        case 3:
            head["version"] = chooser.choice(("", "2025-01-01", "é'"))
        case 4:
            envelope["kind"] = chooser.choice(("", "promise", "task.unknown", "é", "PROMISE.GET"))
        case 5:
            envelope["kind"] = chooser.choice((None, 1, [], {}))
        case 6:
            envelope["data"] = chooser.choice((None, 1, [], "x", True))
        case 7:
            envelope["head"] = chooser.choice((None, 1, [], "x"))
        case _:  # where this is looked at among the other checks is not told
            envelope |= {"kind": "promise.get", "data": {"id": "a"}}
            head[DEBUG_TIME] = chooser.choice(("1", 1.5, True, -1, 2**63, [], {}))
    return envelope
