"""What ``gateway/hot.py`` relies on in uvicorn's protocol class and in httptools.

When a new minor version of uvicorn fails here, read its ``httptools_impl.py`` beside ``hot.py``.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.server import ServerState

BASE = httptools_impl.HttpToolsProtocol
CYCLE = httptools_impl.RequestResponseCycle


def parameters(function):
    return list(inspect.signature(function).parameters)


def source(function):
    return inspect.getsource(function)


def test_the_minor_version_is_the_one_that_was_read():
    assert version("uvicorn").startswith("0.54.")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("connection_made", ["self", "transport"]),
        ("connection_lost", ["self", "exc"]),
        ("data_received", ["self", "data"]),
        ("eof_received", ["self"]),
        ("pause_writing", ["self"]),
        ("resume_writing", ["self"]),
        ("shutdown", ["self"]),
        ("on_message_begin", ["self"]),
        ("on_url", ["self", "url"]),
        ("on_header", ["self", "name", "value"]),
        ("on_headers_complete", ["self"]),
        ("on_body", ["self", "body"]),
        ("on_message_complete", ["self"]),
        ("on_response_complete", ["self"]),
        ("_start_asgi_task", ["self", "cycle", "app"]),
        ("_unset_keepalive_if_required", ["self"]),
    ],
)
def test_methods_that_are_overridden_or_called(name, expected):
    assert parameters(getattr(BASE, name)) == expected


async def application(scope, receive, send):
    """Stands for one; never called."""


def test_attributes_of_a_connection():
    config = uvicorn.Config(application, ws="none", lifespan="off", log_config=None)
    made = BASE(config=config, server_state=ServerState(), app_state={}, _loop=object())
    for name in ("loop", "app", "transport", "flow", "headers", "cycle", "scope"):
        assert hasattr(made, name), name
    assert made.expect_100_continue is False
    assert made.timeout_keep_alive_task is None
    assert list(made.pipeline) == []
    assert isinstance(made.parser, httptools.HttpRequestParser)
    assert made.server_state.default_headers == []
    assert made.server_state.connections == set()
    assert made.server_state.total_requests == 0


def test_attributes_of_a_cycle():
    """Those that uvicorn sets on whatever stands in ``cycle``, and those that are read of its own."""
    text = source(CYCLE.__init__)
    for name in (
        "keep_alive",
        "more_body",
        "disconnected",
        "response_started",
        "response_complete",
        "message_event",
    ):
        assert f"self.{name} = " in text, name
    lost = source(BASE.connection_lost)
    assert "self.cycle.disconnected = True" in lost
    assert "self.cycle.message_event.set()" in lost
    assert "self.cycle.keep_alive = False" in source(BASE.shutdown)
    assert "if self.disconnected:\n            return" in source(CYCLE.send)


def test_waiting_requests_are_kept_newest_first_with_their_application():
    text = source(BASE.on_headers_complete)
    assert "self.pipeline.appendleft((self.cycle, app))" in text
    assert "self._start_asgi_task(self.cycle, app)" in text
    assert "on_response=self.on_response_complete" in text
    assert "self.pipeline.pop()" in source(BASE.on_response_complete)


def test_flow_control():
    assert parameters(flow_control.FlowControl.__init__) == ["self", "transport"]
    for name in ("pause_reading", "resume_reading", "pause_writing", "resume_writing"):
        assert parameters(getattr(flow_control.FlowControl, name)) == ["self"]
    assert "write_paused" in source(flow_control.FlowControl.__init__)


def test_status_lines():
    assert httptools_impl.STATUS_LINE[413].startswith(b"HTTP/1.1 413 ")
    assert httptools_impl.STATUS_LINE[300].endswith(b"\r\n")


@pytest.mark.parametrize("name", ["startup", "shutdown", "capture_signals", "handle_exit"])
def test_methods_of_the_server(name):
    assert callable(getattr(uvicorn.Server, name))
    assert "force_exit" in source(uvicorn.Server.shutdown)


def test_the_parser():
    seen = []

    class Sink:
        def on_headers_complete(self):
            seen.append((parser.get_method(), parser.get_http_version()))
            seen.append((parser.should_keep_alive(), parser.should_upgrade()))

    parser = httptools.HttpRequestParser(Sink())
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    parser.feed_data(b"POST /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert seen == [(b"POST", "1.0"), (True, False)]
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        parser.feed_data(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nrest")
    assert raised.value.args == (51,)
    assert seen[2:] == [(b"GET", "1.1"), (True, True)]


def test_the_parser_stops_at_an_exception_in_a_callback():
    class Sink:
        def on_message_begin(self):
            raise KeyError

    with pytest.raises(httptools.HttpParserCallbackError) as raised:
        httptools.HttpRequestParser(Sink()).feed_data(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(raised.value.__context__, KeyError)
    assert isinstance(raised.value, httptools.HttpParserError)
    assert issubclass(httptools.HttpParserInvalidURLError, httptools.HttpParserError)
