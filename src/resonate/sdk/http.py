"""The way to a server over HTTP: batches of requests, one event stream.

Rules:
- Our extensions are used when ``GET /`` lists them, and only then: other servers of the protocol
  work without. It is asked again whenever the connection was lost: the server may be another one.
- A batch stays below the server's limits of requests and bytes, so that what is too large is
  refused by itself, and not together with its neighbours.
- An answer that is no answer of the protocol (a proxy's page, half a text) is a lost one. One whose
  data are not what its request asked for is an error: it would be no other if asked again.
- A server that knows of functions is told which ones are here, as far as that fits into a URL.
- No total timeout on the stream; a server that announces itself as ours sends a comment every 15 s,
  so silence for three times as long means that it is gone. Others get more time.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct

from resonate.protocol import answers as an
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.limits import BODY_BYTES_MAX, KEEPALIVE_SECONDS
from resonate.protocol.messages import ExecuteData, UnblockData
from resonate.protocol.records import PromiseRecord, TaskRecord, TaskState
from resonate.sdk.connections import Connections
from resonate.sdk.transport import AnswerLostError, Incoming, Terms, TransportError

_ANSWERS: dict[type[rq.Request], Any] = {
    rq.TaskGet: an.TaskAnswer,
    rq.TaskCreate: an.LeaseAnswer,
    rq.TaskAcquire: an.LeaseAnswer,
    rq.TaskFence: an.FenceAnswer,
    rq.TaskHeartbeat: an.HeartbeatAnswer,
    rq.TaskSuspend: an.Nothing,
    rq.TaskRelease: an.Nothing,
    rq.TaskHalt: an.Nothing,
    rq.TaskContinue: an.Nothing,
    rq.PromiseSearch: an.PromisesAnswer,
    rq.TaskSearch: an.TasksAnswer,
    rq.ScheduleGet: an.ScheduleAnswer,
    rq.ScheduleCreate: an.ScheduleAnswer,
    rq.ScheduleDelete: an.Nothing,
    rq.ScheduleSearch: an.SchedulesAnswer,
}
_SILENCE_SECONDS = 300.0  # of a stream of a server that promises no comments
_FUNCTIONS_MAX = 32 * 1024  # characters of all function keys: more are not told to the server
_TOO_LONG = (400, 414, 431)  # what servers and proxies say of a URL that they do not take
_TEXT_MAX = 200  # of what is quoted from an answer


class _Extensions(Struct, frozen=True):
    batch: int = 1
    body: int = BODY_BYTES_MAX
    poll: bool = False
    functions: bool = False


class _Discovery(Struct, frozen=True):
    extensions: dict[str, Any]
    limits: dict[str, Any] = {}


class _AnyTask(Struct, frozen=True):
    id: str
    version: int
    state: TaskState | None = None
    resumes: int = 0
    ttl: int | None = None
    pid: str | None = None


class _AnyExecute(Struct, frozen=True):
    task: _AnyTask
    promise: PromiseRecord | None = None
    preload: list[PromiseRecord] = []


class _Event(Struct, frozen=True):
    kind: str
    data: msgspec.Raw


class HttpTransport:
    """A server at ``url``; its streams at ``poll_url``.

    ``token`` is sent as bearer token, ``auth`` as (user, password) of basic authentication.
    """

    def __init__(
        self,
        url: str,
        poll_url: str | None = None,
        *,
        token: str | None = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._poll_url = (poll_url or url).rstrip("/")
        self._connections = Connections(self.url + "/", _credentials(token, auth))
        self._extensions: _Extensions | None = None
        self._standing = 0  # streams
        self._terse = False  # somebody on the way does not take what the functions are
        self._encoder = msgspec.json.Encoder()
        self._response = msgspec.json.Decoder(an.RawResponse)
        self._responses = msgspec.json.Decoder(list[an.RawResponse])

    async def send(self, requests: list[rq.Request]) -> list[Answer]:
        """Send as few HTTP requests as the server's limits allow."""
        known = await self._known()
        found: list[Answer] = []
        try:
            for part, bodies in self._parts(requests, known):
                found.extend(await self._post(part, bodies))
        except (TransportError, asyncio.CancelledError):
            self._extensions = None
            raise
        return found

    def _parts(
        self, requests: list[rq.Request], known: _Extensions
    ) -> Iterator[tuple[list[rq.Request], list[bytes]]]:
        """Cut requests into batches, each with its encoded requests."""
        part: list[rq.Request] = []
        bodies: list[bytes] = []
        size = 2  # brackets
        for request in requests:
            body = self._encoder.encode(request)
            if part and (len(part) >= known.batch or size + len(body) > known.body):
                yield part, bodies
                part, bodies, size = [], [], 2
            part.append(request)
            bodies.append(body)
            size += len(body) + 1
        yield part, bodies

    async def stream(
        self, terms: Terms, opened: Callable[[], None], receive: Callable[[Incoming], None]
    ) -> None:
        """Hold ``GET /poll/{group}/{pid}``."""
        self._extensions = None
        if not self._standing:  # kept connections may be dead
            await self._connections.renew()
        known = await self._known()
        silence = KEEPALIVE_SECONDS * 3 if known.poll else _SILENCE_SECONDS
        url = f"{self._poll_url}/poll/{quote(terms.group, safe='')}/{quote(terms.pid, safe='')}"
        params = self._parameters(terms, known) if known.poll else {}
        async with self._connections.stream(url, params, silence) as response:
            if response.status in _TOO_LONG and "functions" in params:
                self._terse = True
            if response.status != 200:
                text = await response.text()
                raise TransportError(f"{response.status} {text[:_TEXT_MAX]}")
            self._standing += 1
            try:
                opened()
                await _read_events(response.content, receive)
            finally:
                self._standing -= 1

    def _parameters(self, terms: Terms, known: _Extensions) -> dict[str, str]:
        if terms.capacity == 0:
            return {"capacity": "0", "presence": "1"}
        declared = {
            "capacity": str(terms.capacity),
            "claim": "1",
            "ttl": str(terms.ttl),
            "presence": "1",
        }
        if known.functions and terms.functions is not None and not self._terse:
            functions = ",".join(sorted(terms.functions))
            if len(functions) <= _FUNCTIONS_MAX:
                declared["functions"] = functions
        return declared

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def _known(self) -> _Extensions:
        """Ask the server which extensions it has, unless it is known."""
        known = self._extensions
        if known is None:
            status, body = await self._connections.get()
            if status >= 500:  # it is starting, or a proxy in front of it has nobody behind
                text = body[:_TEXT_MAX].decode("utf-8", "replace")
                raise TransportError(f"{status} {text}")
            known = self._extensions = _discover(body) if status == 200 else _Extensions()
        return known

    async def _post(self, requests: list[rq.Request], bodies: list[bytes]) -> list[Answer]:
        body = bodies[0] if len(bodies) == 1 else b"[%b]" % b",".join(bodies)
        status, text = await self._connections.post(body)
        try:
            if text[:1] == b"[":
                raw = self._responses.decode(text)
            else:
                raw = [self._response.decode(text)] * len(requests)
            pairs = list(zip(requests, raw, strict=True))
        except (msgspec.DecodeError, ValueError) as error:
            start = text[:_TEXT_MAX].decode("utf-8", "replace")
            raise AnswerLostError(f"unreadable answer, status {status}: {start}") from error
        return [_answer(*pair) for pair in pairs]


def _credentials(token: str | None, auth: tuple[str, str] | None) -> dict[str, str]:
    if token:
        return {"authorization": f"Bearer {token}"}
    if auth:
        pair = base64.b64encode(":".join(auth).encode()).decode()
        return {"authorization": f"Basic {pair}"}
    return {}


def _discover(body: bytes) -> _Extensions:
    try:
        found = msgspec.json.decode(body, type=_Discovery)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Extensions()
    batch, poll = found.extensions.get("batch"), found.extensions.get("poll")
    return _Extensions(
        batch=_positive(batch.get("max") if isinstance(batch, dict) else None, 1),
        body=_positive(found.limits.get("bodyBytes"), BODY_BYTES_MAX),
        poll=isinstance(poll, dict) and all(poll.get(k) for k in ("capacity", "claim", "presence")),
        functions=isinstance(poll, dict) and bool(poll.get("functions")),
    )


def _positive(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and value > 0 else otherwise


def _answer(request: rq.Request, raw: an.RawResponse) -> Answer:
    status = raw.head.status
    if status == 200:
        kind = _ANSWERS.get(type(request), an.PromiseAnswer)
        return Answer(status, msgspec.json.decode(raw.data, type=kind))
    if status == 300:
        return Answer(status, msgspec.json.decode(raw.data, type=an.PreloadAnswer))
    try:
        text = msgspec.json.decode(raw.data, type=str)
    except msgspec.ValidationError:
        text = bytes(raw.data).decode()
    return Answer(status, text)


async def _read_events(content: aiohttp.StreamReader, receive: Callable[[Incoming], None]) -> None:
    """Hand over the messages of a stream: each is one line that begins with ``data:``."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        for line in lines:
            if line.startswith(b"data:"):
                message = _message(line[5:])
                if message is not None:
                    receive(message)


def _message(body: bytes) -> Incoming | None:
    """Read one message; what is not understood is left to servers and clients to come."""
    try:
        event = msgspec.json.decode(body, type=_Event)
        if event.kind == "unblock":
            return msgspec.json.decode(event.data, type=UnblockData)
        if event.kind != "execute":
            return None
        found = msgspec.json.decode(event.data, type=_AnyExecute)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    task = found.task
    if task.state is None or found.promise is None:
        return ExecuteData(rq.TaskRef(task.id, task.version))
    held = TaskRecord(task.id, task.state, task.version, task.resumes, task.ttl, task.pid)
    return an.LeaseAnswer(held, found.promise, found.preload)
