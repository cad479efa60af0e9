"""The client's side of a connection, byte by byte: nothing is sent or swallowed on its own."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Self

VERSION = "2026-04-01"
SECONDS = 10.0  # deadline of everything that is waited for


class Answer:
    """One HTTP answer as it stood on the wire."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        line, *fields = head.split(b"\r\n")
        self.version, status, _reason = line.split(b" ", 2)
        self.status = int(status)
        self.headers = {
            name.lower().decode(): value.strip().decode()
            for name, _, value in (field.partition(b":") for field in fields)
        }

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> Any:
        """The data of an envelope, which is a text in every refusal."""
        return self.json["data"]

    def __repr__(self) -> str:
        return f"Answer({self.head!r}, {self.body[:200]!r})"


class Client:
    """A socket and what was read ahead from it."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ahead = b""
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> Client:
        """Send each part by itself."""
        for part in parts:
            self.sock.sendall(part)
        return self

    def flood(self, part: bytes, most: int = 1_000) -> bool:
        """Send the same again and again; tell whether the server put an end to it."""
        try:
            for _ in range(most):
                self.sock.sendall(part)
        except ConnectionError:
            return True
        return False

    def ask(self, *parts: bytes) -> Answer:
        return self.send(*parts).answer()

    def answer(self, *, bodiless: bool = False) -> Answer:
        """Read one answer; ``bodiless``: it belongs to HEAD, or the body never ends."""
        head = self.until(b"\r\n\r\n")[:-4]
        answer = Answer(head, b"")
        if answer.status >= 200 and not bodiless:
            answer.body = self.exactly(int(answer.headers["content-length"]))
        return answer

    def until(self, mark: bytes) -> bytes:
        """Read up to and including ``mark``."""
        while mark not in self.ahead:
            self._more()
        found, _, self.ahead = self.ahead.partition(mark)
        return found + mark

    def exactly(self, count: int) -> bytes:
        while len(self.ahead) < count:
            self._more()
        found, self.ahead = self.ahead[:count], self.ahead[count:]
        return found

    def rest(self) -> bytes:
        """Read to the end of the connection; a reset is an end too."""
        try:
            while data := self.sock.recv(65_536):
                self.ahead += data
        except ConnectionResetError:
            pass
        found, self.ahead = self.ahead, b""
        return found

    def reset(self) -> None:
        """Go away without a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(262_144)
        if not data:
            raise ConnectionError(f"ended after {self.ahead[:300]!r}")
        self.ahead += data


class Events(Client):
    """A client of ``GET /poll/…``."""

    def __init__(self, port: int, target: str, **options: Any) -> None:
        super().__init__(port, **options)
        self.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        self.answered = self.answer(bodiless=True)
        if self.answered.status == 200:
            assert self.chunk() == b": connected\n\n"

    def chunk(self) -> bytes:
        """Read one chunk: empty at the clean end of the stream."""
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return data

    def event(self) -> Any:
        """Read the next event, over comments."""
        while (chunk := self.chunk()).startswith(b":"):
            pass
        assert chunk.startswith(b"data: "), chunk
        assert chunk.endswith(b"\n\n"), chunk
        assert chunk.isascii()
        assert b"\r" not in chunk
        return json.loads(chunk[6:-2])

    def task(self) -> str:
        """Read the next execute message; return the task's id."""
        event = self.event()
        assert event["kind"] == "execute", event
        return event["data"]["task"]["id"]

    def quiet(self, seconds: float = 0.05) -> bool:
        """Tell whether nothing comes for a while."""
        if self.ahead:
            return False
        self.sock.settimeout(seconds)
        try:
            self.ahead += self.sock.recv(65_536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(SECONDS)
        return False


def envelope(kind: str, data: Any, corr_id: str = "1", **head: Any) -> Any:
    return {"kind": kind, "head": {"corrId": corr_id, "version": VERSION, **head}, "data": data}


def request(body: Any, *fields: bytes, target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    """Return a ``POST`` of ``body``: bytes as they are, anything else as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return b"\r\n".join(
        [
            b"POST %b HTTP/%b" % (target, version),
            b"Host: h",
            b"Content-Length: %d" % len(body),
            *fields,
            b"",
            body,
        ]
    )


def post(kind: str, data: Any, corr_id: str = "1") -> bytes:
    return request(envelope(kind, data, corr_id))


def get(target: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: h", *fields, b"", b""])


def chunked(*parts: bytes, fields: tuple[bytes, ...] = ()) -> bytes:
    """Return a ``POST /`` with its body in chunks."""
    chunks = [b"%x\r\n%b" % (len(part), part) for part in parts]
    head = [b"POST / HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked", *fields, b""]
    return b"\r\n".join([*head, *chunks, b"0", b"", b""])


def create(promise_id: str, *, target: str | None = None, **data: Any) -> Any:
    """Return the data of a promise.create, with a task when there is a target."""
    tags = {} if target is None else {"resonate:target": target}
    return {"id": promise_id, "timeoutAt": 2**53 - 1, "param": {}, "tags": tags, **data}


def eventually(condition: Any, seconds: float = SECONDS) -> Any:
    """Return what ``condition`` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(0.002)
    return found
