"""All routes but the two hot ones."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from tests.gateway.wire import get


def ask(server, target, method=b"GET", *fields):
    with server.client() as client:
        return client.ask(get(target, *fields, method=method))


def test_discovery_names_who_we_are_and_what_we_can(server):
    answer = ask(server, b"/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "server": "resonate-py",
        "version": version("resonate-py"),
        "protocol": ["2026-04-01"],
        "mode": "lenient",
        "extensions": {
            "batch": {"max": 1000},
            "poll": {"capacity": True, "claim": True, "presence": True, "functions": True},
            "heartbeat": {"lost": True},
            "release": {"delay": 86400000},
            "search": {
                "promise": [
                    "idPrefix",
                    "rootOnly",
                    "order",
                    "createdFrom",
                    "createdTo",
                    "settledFrom",
                    "settledTo",
                    "counts",
                ],
                "task": ["idPrefix", "counts"],
                "schedule": ["idPrefix"],
            },
        },
        "limits": {"bodyBytes": 4194304, "searchLimit": 1000},
    }


@pytest.mark.parametrize("target", [b"/", b"/?x=1", b"http://h/", b"http://h:80?x"])
def test_discovery_however_the_root_is_written(server, target):
    assert ask(server, target).json["server"] == "resonate-py"


def test_health_is_an_empty_200(server):
    answer = ask(server, b"/health")
    assert (answer.status, answer.body) == (200, b"")


def test_ready_while_requests_are_served(server):
    answer = ask(server, b"/ready")
    assert (answer.status, answer.body) == (200, b"ready")


def test_ready_says_why_not_while_the_store_fails(server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(server.engine, "problem", "no space left on dévice ☃")
        answer = ask(server, b"/ready")
        assert (answer.status, answer.body.decode()) == (503, "no space left on dévice ☃")
        assert answer.headers["retry-after"] == "1"
        assert ask(server, b"/health").status == 200
        assert ask(server, b"/").status == 200
    assert ask(server, b"/ready").status == 200


@pytest.mark.parametrize("target", [b"/", b"/health", b"/ready"])
def test_head_answers_like_get_without_a_body(server, target):
    with server.client() as client:
        client.send(get(target, method=b"HEAD") + get(b"/health"))
        answer = client.answer(bodiless=True)
        assert answer.status in (200, 405)
        assert client.answer().status == 200


@pytest.mark.parametrize(
    ("target", "methods", "allowed"),
    [
        (
            b"/",
            [b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND"],
            {"GET", "HEAD", "POST"},
        ),
        (b"/poll/g/a", [b"POST", b"PUT", b"DELETE", b"OPTIONS"], {"GET", "HEAD"}),
        (b"/health", [b"POST", b"PUT", b"DELETE", b"OPTIONS"], {"GET", "HEAD"}),
        (b"/ready", [b"POST"], {"GET", "HEAD"}),
    ],
)
def test_wrong_methods_are_told_the_right_ones(server, target, methods, allowed):
    for method in methods:
        answer = ask(server, target, method)
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "target",
    [
        b"/nowhere",
        b"/health/",
        b"//",
        b"/.",
        b"/%00",
        b"/%ff%fe",
        b"/poll",
        b"/poll/",
        b"/poll/g",
        b"/poll/g/",
        b"/poll//a",
        b"/poll/?a",
        b"/promisesx",
        b"/" + b"x/" * 1_000,
        b"*",
        b"/health%2f",
        b"/..%2f..%2fetc/passwd",
    ],
)
def test_unknown_paths_are_404_and_never_a_redirect(server, target):
    assert ask(server, target).status == 404
    assert ask(server, target, b"OPTIONS").status in (404, 405)


@pytest.mark.parametrize(
    "method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND"]
)
@pytest.mark.parametrize(
    "target", [b"/promises", b"/promises/", b"/promises/a/b?c", b"/tasks/claim", b"/schedules"]
)
def test_what_older_clients_ask_for_is_gone(server, target, method):
    answer = ask(server, target, method)
    assert answer.status == 410
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "error": "This endpoint is no longer supported. Please update to the latest SDK."
    }


def test_a_body_for_an_older_endpoint_is_read_over(server):
    with server.client() as client:
        client.send(b"POST /promises HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        assert client.answer().status == 410
        client.send(b"x" * 200_000)
        assert client.ask(get(b"/health")).status == 200
