"""The protocol class under uvicorn: ``POST /`` and ``GET /poll/…`` are answered before ASGI.

Rules:
- Everything else (TLS, keep-alive, shutdown, all other routes) stays uvicorn's; its minor version
  is pinned, and ``tests/gateway/test_pin.py`` holds that what is relied on here is there.
- A request on the hot routes is a *cycle* like uvicorn's own. Requests of one connection are
  answered in their order, refusals included. What was read ahead is answered before more is read.
- After an event stream, a refusal in plain text and a request that asks for the end, nothing more
  of the connection is looked at.
- A client that does not read its answers is not read from. One that does not send its request in
  time, or sends too much of a head, is answered and closed.
- A protocol upgrade is declined as RFC 9110 says: by answering as if it had not been asked for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from resonate.gateway.cycles import Cycle, Farewell, Post
from resonate.gateway.stream import BadParameter, Stream, parse_poll
from resonate.protocol.envelope import Refusal
from resonate.protocol.limits import (
    HEADER_BYTES_MAX,
    REFUSED_BYTES_MAX,
    REQUEST_SECONDS_MAX,
    UNSENT_BYTES_MAX,
)

if TYPE_CHECKING:
    from resonate.engine.engine import Engine

_JSON = b"content-type: application/json\r\n"
_TEXT = b"content-type: text/plain; charset=utf-8\r\n"
_RETRY = b"retry-after: 1\r\n"
_CLOSE = b"connection: close\r\n"
_INVALID = "Invalid HTTP request"
_LONG_HEAD = "Request header too large"
_NOTHING, _HEAD, _BODY = range(3)  # what of a request is being read
_NEW = -1  # size of a request of which no packet has ended yet
log = logging.getLogger("resonate.gateway")


class Gateway:
    """What all connections of a server share."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.streams: set[Stream] = set()
        self._names: list[tuple[bytes, bytes]] = []
        self._encoded = b""

    def default_headers(self, names: list[tuple[bytes, bytes]]) -> bytes:
        """Return uvicorn's default headers (date, server) as bytes, encoded once a second."""
        if names is not self._names:
            self._names = names
            self._encoded = b"".join(b"%b: %b\r\n" % pair for pair in names)
        return self._encoded


class _Over(Exception):
    """Raised in a callback to stop the parser: the rest is not looked at."""


class HotProtocol(HttpToolsProtocol):
    """uvicorn's protocol class with the hot routes taken out of ASGI.

    ``cycle`` is the request that was read last, ``turn`` the one that is being answered; those
    between them wait in ``pipeline``.
    """

    gateway: ClassVar[Gateway]
    cycle: Any
    turn: Any = None
    reading = _NOTHING
    size = _NEW  # bytes of the request being read, without its first packet
    packet = 0  # bytes of the packet being read
    since: float | None = None  # when what is being waited for began
    stuck_since: float | None = None  # when the client was first seen not to read
    last = False  # the last request of the connection has begun
    deaf = False  # what comes in is not looked at
    held_back = False  # an answer is written and not yet taken by the client
    starting = False
    replay = b""

    # --- connection -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; the first request must come in time too."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self.since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what was under way that nobody is there any more."""
        if isinstance(self.turn, Stream):
            self.turn.lost()
        elif self.turn is not None and not self.turn.response_complete:
            self.turn.disconnected = True
            self.turn.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Parse, and see to what is not whole yet."""
        self._unset_keepalive_if_required()
        if self.deaf:
            return
        self.packet = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._broken(error)
        if self.reading:
            self._unfinished()

    def shutdown(self) -> None:
        """Finish what is under way, then close (called by uvicorn)."""
        if self.reading == _BODY:
            self.refuse(503, "Service unavailable: the server is shutting down")
        elif isinstance(self.turn, Stream):
            self.turn.end()
        else:
            if isinstance(self.cycle, Stream):
                self.cycle.disconnected = True  # not begun yet
            super().shutdown()

    def pause_writing(self) -> None:
        """Take note that the client does not read."""
        super().pause_writing()
        if isinstance(self.turn, Stream):
            self.turn.pause()

    def resume_writing(self) -> None:
        """Take note that the client has read; what waited for that goes on."""
        super().resume_writing()
        if isinstance(self.turn, Stream):
            self.turn.resume()
        elif self.held_back:
            self.held_back = False
            self._done(self.turn)

    def sweep(self, now: float) -> None:
        """Close when the client has not sent or not read in time; called every few seconds."""
        deadline = now - REQUEST_SECONDS_MAX
        paused = self.flow.write_paused and not isinstance(self.turn, Stream)
        if paused or self.transport.is_closing():
            if self.stuck_since is None:
                self.stuck_since = now
            elif self.stuck_since < deadline:
                self.transport.abort()
            return
        self.stuck_since = None
        idle = self.turn is None or self.turn.response_complete
        if self.reading:
            if not idle and self.turn is not self.cycle:
                self.since = now  # it could not be read
            elif self.since is not None and self.since < deadline:
                self.refuse(408, "Request not complete in time")
        elif not idle or self.timeout_keep_alive_task is not None:
            self.since = None
        elif self.since is None:
            self.since = now  # something came that did not begin a request
        elif self.since < deadline:
            self.transport.close()

    # --- reading ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request; what ASGI needs is built only for requests that go there."""
        if self.last:
            self.deaf = True
            raise _Over
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self.reading = _HEAD
        self.size = _NEW
        self.since = None

    def on_headers_complete(self) -> None:
        """Choose who answers."""
        if self.size != _NEW or self.packet > HEADER_BYTES_MAX:
            self._check_head()
        if self.parser.should_upgrade():
            self._decline_upgrade()
            return
        self._route(self.parser.get_method())
        self.reading = _BODY

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body."""
        if isinstance(self.cycle, Cycle):
            self.cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish reading a request."""
        if self.reading == _HEAD:  # of a declined upgrade: it comes again
            return
        self.reading = _NOTHING
        if isinstance(self.cycle, Cycle):
            self.cycle.complete()
        else:
            super().on_message_complete()

    def _unfinished(self) -> None:
        """See to a request that is not whole at the end of a packet."""
        if self.since is None:
            self.since = self.loop.time()
        self.size = 0 if self.size == _NEW else self.size + self.packet
        if self.reading == _HEAD:
            if self.size > HEADER_BYTES_MAX:
                self.refuse(431, _LONG_HEAD)
            return
        if isinstance(self.cycle, Post) and not self.cycle.measured:
            self.cycle.measure(self._announced())
        if self.size > REFUSED_BYTES_MAX:
            self.refuse(413, "Request body too large")

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEADER_BYTES_MAX:
            self.refuse(431, _LONG_HEAD)
            raise _Over

    def _announced(self) -> int:
        for name, value in self.headers:
            if name == b"content-length":
                return int(value)
        return 0

    def _decline_upgrade(self) -> None:
        """Have the request parsed again without its Upgrade header, its body included."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.refuse(400, _INVALID)
            raise _Over
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self.replay = b"\r\n".join([*lines, b"", b""])

    def _go_on(self, rest: memoryview) -> None:
        """Parse what follows a declined upgrade, with a parser that has not seen it."""
        while True:
            head, self.replay = self.replay, b""
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._broken(error)
                return
            else:
                return

    def _broken(self, error: httptools.HttpParserError) -> None:
        """Give up on bytes that are not HTTP, or on which a callback failed."""
        if self.deaf:
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            log.error("a request could not be read", exc_info=error.__context__)
            self.deaf = True
            self.transport.abort()
        else:
            self.refuse(400, _INVALID)

    # --- cycles -----------------------------------------------------------------------------------

    def _route(self, method: bytes) -> None:
        url = self.url
        if method == b"POST" and (url == b"/" or url[:2] == b"/?"):
            self._begin(self._post())
        elif method == b"GET" and url[:6] == b"/poll/":
            self._poll()
        else:
            self._other(method)

    def _post(self) -> Post:
        parser = self.parser
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        post = Post(self, keep_alive=keep_alive)
        if not keep_alive:
            self.last = True
        if self.expect_100_continue:
            post.expect_continue = parser.get_http_version() != "1.0"
            post.measure(self._announced())
        return post

    def _poll(self) -> None:
        try:
            parsed = httptools.parse_url(self.url)
            strict = self.gateway.engine.rules.strict  # parameters are an extension
            poll = parse_poll(parsed.path, b"" if strict else parsed.query or b"")
        except httptools.HttpParserInvalidURLError:
            self.refuse(400, _INVALID)
            raise _Over from None
        except BadParameter as bad:
            self.refuse(400, f"Invalid query parameter: {bad}")
            raise _Over from None
        if poll is None:
            self._begin_asgi()
            return
        chunked = self.parser.get_http_version() not in ("0.9", "1.0")
        self.last = True
        self._begin(Stream(self, poll, chunked=chunked))

    def _other(self, method: bytes) -> None:
        """Give it to ASGI, unless the URL only names a hot route in another way."""
        try:
            parsed = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            self.refuse(400, _INVALID)
            raise _Over from None
        url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        if url[:1] == b"/" and (parsed.schema or parsed.fragment is not None):
            self.url = url
            self._route(method)
        else:
            self._begin_asgi()

    def _begin(self, cycle: Cycle) -> None:
        existing, self.cycle = self.cycle, cycle
        if existing is None or existing.response_complete:
            self.turn = cycle
            cycle.start()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def _begin_asgi(self) -> None:
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.turn = cycle
        if isinstance(cycle, Cycle):
            cycle.start()
        else:
            super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request; a loop, since refusals are answered while it runs."""
        if not self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.starting:
            return
        self.starting = True
        while self.pipeline and self.turn.response_complete and not self.transport.is_closing():
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        self.starting = False
        if not self.pipeline:
            self.flow.resume_reading()

    # --- answering --------------------------------------------------------------------------------

    def answer(self, post: Post, status: int, body: bytes) -> None:
        """Write the answer to ``post``."""
        if self.transport.is_closing():
            post.response_complete = True
            return
        default = self.gateway.default_headers(self.server_state.default_headers)
        self.transport.write(
            b"%b%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (
                STATUS_LINE[status],
                default,
                _JSON,
                _RETRY if status == 503 else b"",
                len(body),
                b"" if post.keep_alive else _CLOSE,
                body,
            )
        )
        if self.flow.write_paused:
            self.held_back = True
        else:
            self._done(post)

    def _done(self, post: Post) -> None:
        """Close, or go on with the next request: the answer is with the client."""
        post.response_complete = True
        if post.keep_alive:
            self.on_response_complete()
        elif not post.more_body:
            self.transport.close()

    def refuse(self, status: int, text: str) -> None:
        """Answer the request being read when it is its turn, then close; read nothing more."""
        broken = self.cycle if self.reading == _BODY else None
        self.last = self.deaf = True
        self.reading, self.since = _NOTHING, None
        if broken is not None and broken.response_started:
            self.transport.close()
        elif isinstance(broken, Post):
            broken.more_body = False
            broken.refuse(Refusal(status, text))
        else:
            if broken is not None:
                self._forget(broken)
            self._begin(Farewell(self, status, text))

    def _forget(self, broken: Any) -> None:
        """Drop a request that did not arrive whole: another answer takes its place."""
        broken.disconnected = True
        broken.message_event.set()
        if self.turn is broken:
            self.cycle = None
        else:
            self.pipeline.popleft()
            self.cycle = self.turn

    def say(self, cycle: Cycle, status: int, text: str) -> None:
        """Answer ``cycle`` in plain text and close."""
        cycle.response_started = cycle.response_complete = True
        if self.transport.is_closing():
            return
        content = text.encode()
        retry = _RETRY if status == 503 else b""
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[status], _TEXT, retry, len(content), content)
        )
        self.transport.close()
