"""Why a promise timed out: whoever waits for it is told whether anybody had started with it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

from msgspec.structs import replace

from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.protocol.records import PromiseRecord, Value
from resonate.protocol.validation import TARGET
from resonate.sdk.codec import NEVER_STARTED
from resonate.sdk.sender import Item

if TYPE_CHECKING:
    from resonate.sdk.client import Client


def explained(client: Client, settled: Future[PromiseRecord]) -> Future[PromiseRecord]:
    """Return the future of the same record, which says so if no worker had started with it."""
    told: Future[PromiseRecord] = client.future()

    def done(future: Future[PromiseRecord]) -> None:
        error = future.exception()
        if error is not None:
            told.set_exception(error)
        else:
            _explain(client, future.result(), told)

    settled.add_done_callback(done)
    return told


def _explain(client: Client, record: PromiseRecord, told: Future[PromiseRecord]) -> None:
    if not is_unexplained(record):
        told.set_result(record)
        return

    def done(asked: Future[Item]) -> None:
        answer = None if asked.exception() is not None else asked.result().answers[0]
        told.set_result(explanation(record, answer))

    client.ask(rq.TaskGet(client.head(), rq.IdData(record.id))).add_done_callback(done)


def is_unexplained(record: PromiseRecord) -> bool:
    """Tell whether its task says why it timed out."""
    return record.state == "rejected_timedout" and TARGET in record.tags


def explanation(record: PromiseRecord, answer: Answer | None) -> PromiseRecord:
    """Return the record with what the answer to ``task.get`` says; None: there was none."""
    never = answer is not None and answer.status == 200 and answer.data.task.version == 0
    return replace(record, value=Value(headers=NEVER_STARTED)) if never else record
