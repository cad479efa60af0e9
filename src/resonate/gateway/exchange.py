"""One ``POST /``: from the bytes of a body to the bytes of the answer.

The HTTP status equals the status of the answer; a batch is answered 200, or 503 when nothing of it
was committed. A refusal at the door costs no trip to the engine.
"""

from __future__ import annotations

from collections.abc import Callable

from resonate.engine.engine import Engine
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer, Response, encode, respond
from resonate.protocol.envelope import Refusal, is_batch, read, read_batch

Send = Callable[[int, bytes], None]


def exchange(engine: Engine, body: bytes, send: Send) -> None:
    """Answer the request or batch in ``body`` by calling ``send(status, answer)`` once."""
    if is_batch(body):
        _batch(engine, body, send)
        return
    request = read(body, engine.rules)
    if isinstance(request, Refusal):
        refuse(request, send)
        return
    kind, corr_id = _names(request)

    def reply(answers: list[Answer]) -> None:
        answer = answers[0]
        send(answer.status, encode(respond(kind, corr_id, answer)))

    engine.submit([request], reply, len(body))


def refuse(refusal: Refusal, send: Send) -> None:
    """Answer a request that is refused at the door."""
    send(refusal.status, encode(_refusal(refusal)))


def _batch(engine: Engine, body: bytes, send: Send) -> None:
    items = read_batch(body, engine.rules)
    if isinstance(items, Refusal):
        refuse(items, send)
        return
    requests = [item for item in items if not isinstance(item, Refusal)]

    def reply(answers: list[Answer]) -> None:
        remaining = iter(answers)
        responses = [
            _refusal(item) if isinstance(item, Refusal) else respond(*_names(item), next(remaining))
            for item in items
        ]
        send(_status(answers), encode(responses))

    if requests:
        engine.submit(requests, reply, len(body))
    else:
        reply([])


def _status(answers: list[Answer]) -> int:
    """Answer 200, unless nothing of what was asked of the engine was carried out."""
    failed = answers and all(answer.status in (500, 503) for answer in answers)
    return 503 if failed else 200


def _names(request: rq.Request) -> tuple[str, str]:
    return str(request.__struct_config__.tag), request.head.corr_id


def _refusal(refusal: Refusal) -> Response:
    return respond(refusal.kind, refusal.corr_id, Answer(refusal.status, refusal.text))
