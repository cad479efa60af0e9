"""The sender by itself: order, repetition, patience, and batches that are too much."""

from __future__ import annotations

import asyncio

import pytest

from resonate.errors import ResonateShutdownError, ResonateStoreError
from resonate.protocol import requests as rq
from resonate.protocol.answers import Answer
from resonate.sdk.sender import Item, Sender
from resonate.sdk.transport import AnswerLostError, DeadConnectionError, TransportError
from tests.waiting import eventually

HEAD = rq.Head("1", rq.VERSION)


def get(id="p"):
    return rq.PromiseGet(HEAD, rq.IdData(id))


class Wire:
    """A transport whose every send is answered, or fails, as the test says."""

    def __init__(self):
        self.sent = []
        self.script = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, requests):
        self.sent.append([each.data.id for each in requests])
        await self.gate.wait()
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return [Answer(step or 200, each.data.id) for each in requests]


def item(done, *ids, patience=None):
    return Item([get(id) for id in ids], done, patience)


async def test_a_sender_keeps_the_order_and_sends_together_what_came_meanwhile():
    wire, done = Wire(), []
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    wire.gate.clear()
    for id in "abcd":
        sender.put(item(done.append, id))
        await asyncio.sleep(0)
    wire.gate.set()
    await sender.idle()
    assert wire.sent == [["a"], ["b", "c", "d"]]
    assert [each.answers[0].data for each in done] == ["a", "b", "c", "d"]


async def test_a_sender_sends_again_what_failed_before_all_others():
    wire, done = Wire(), []
    wire.script = [TransportError("broken"), 503, 200]
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a", "b"))
    sender.put(item(done.append, "c"))
    await sender.idle()
    assert wire.sent == [["a", "b", "c"]] * 3
    assert [each.repeated for each in done] == [True, True]
    assert [each.error for each in done] == [None, None]


async def test_a_sender_sends_again_only_who_was_turned_away():
    class Half(Wire):
        async def send(self, requests):
            self.sent.append([each.data.id for each in requests])
            busy = len(self.sent) == 1
            return [Answer(503 if busy and each.data.id == "b" else 200, "") for each in requests]

    wire, done = Half(), []
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    for ids in ("a", "bc", "d"):
        sender.put(item(done.append, *ids))
    await sender.idle()
    assert wire.sent == [["a", "b", "c", "d"], ["b", "c"]]
    assert [each.requests[0].data.id for each in done] == ["a", "d", "b"]


async def test_patience_ends_although_the_server_says_nothing():
    wire, done = Wire(), []
    wire.gate.clear()
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a", patience=0.02))
    sender.put(item(done.append, "b"))
    await eventually(lambda: done)
    assert isinstance(done[0].error, ResonateStoreError)
    assert str(done[0].error) == "here does not answer (no answer so far): is the server running?"
    wire.gate.set()
    await sender.idle()
    assert [each.requests[0].data.id for each in done] == ["a", "b"]


async def test_what_nobody_waits_for_is_not_sent_again_and_not_kept():
    wire, done = Wire(), []
    wire.script = [TransportError("gone")] * 8
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    for number in range(100):
        sender.put(item(done.append, str(number), patience=0.03))
    await eventually(lambda: len(done) == 100)
    assert "gone" in str(done[0].error)
    await sender.idle()
    assert len(done) == 100
    assert not sender._queue


async def test_a_request_that_cannot_be_written_fails_and_the_next_is_sent():
    wire, done = Wire(), []
    wire.script = [UnicodeEncodeError("utf-8", "\ud800", 0, 1, "half"), 200]
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a"))
    await sender.idle()
    sender.put(item(done.append, "b"))
    await sender.idle()
    assert isinstance(done[0].error, ResonateStoreError)
    assert done[1].error is None


async def test_who_cannot_take_an_answer_does_not_keep_others_from_theirs(caplog):
    wire, done = Wire(), []

    def fail(item):
        raise RuntimeError("mistake")

    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(fail, "a"))
    sender.put(item(done.append, "b"))
    await sender.idle()
    assert len(done) == 1
    assert "an answer could not be taken in" in caplog.text


async def test_a_closed_sender_fails_everything_at_once():
    wire, done = Wire(), []
    wire.gate.clear()
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a"))
    await asyncio.sleep(0)
    sender.put(item(done.append, "b"))
    sender.put_threadsafe(item(done.append, "c"))
    await sender.close()
    sender.put(item(done.append, "d"))
    sender.put_threadsafe(item(done.append, "e"))
    assert len(done) == 5
    assert all(isinstance(each.error, ResonateShutdownError) for each in done)


async def test_a_pause_ends_when_the_server_is_seen():
    wire, done = Wire(), []
    wire.script = [TransportError("gone")] * 7
    loop = asyncio.get_running_loop()
    sender = Sender(wire, loop, "here")
    sender.put(item(done.append, "a"))
    while wire.script:
        await asyncio.sleep(0.001)
        sender.retry_now()
    before = loop.time()
    sender.retry_now()
    await sender.idle()
    assert loop.time() - before < 0.45
    assert len(done) == 1


# --- batches that are too much --------------------------------------------------------------------


class Picky(Wire):
    """A wire that takes no more than ``most`` requests, and none with the id ``bad``."""

    def __init__(self, most=1_000, error=None):
        super().__init__()
        self.most = most
        self.error = error

    async def send(self, requests):
        answers = await super().send(requests)
        if len(requests) > self.most:
            raise self.error
        if any(each.data.id == "bad" for each in requests):
            raise ValueError("an answer that cannot be read")
        return answers

    @property
    def sizes(self):
        return [len(each) for each in self.sent]


@pytest.fixture
def pauses(monkeypatch):
    """How long the sender would pause, without its doing so."""
    found = []

    async def pause(_sender, seconds):
        found.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(Sender, "_pause", pause)
    return found


async def put_and_wait(wire, *items, **options):
    sender = Sender(wire, asyncio.get_running_loop(), "here", **options)
    for each in items:
        sender.put(each)
    await asyncio.wait_for(sender.idle(), 5)
    return sender


@pytest.mark.parametrize("place", [0, 1, 50, 99])
async def test_what_makes_a_batch_fail_fails_alone(place, pauses):
    wire, done = Picky(), []
    ids = ["bad" if number == place else f"good{number}" for number in range(100)]
    await put_and_wait(wire, *(item(done.append, id) for id in ids))
    failed = [each for each in done if each.error is not None]
    assert [each.requests[0].data.id for each in failed] == ["bad"]
    assert str(failed[0].error) == "ValueError: an answer that cannot be read"
    assert sorted(each.answers[0].data for each in done if each.error is None) == sorted(
        set(ids) - {"bad"}
    )
    assert len(wire.sent) < 50
    assert pauses == []


async def test_everything_fails_by_itself_when_nothing_can_be_read():
    wire, done = Picky(), []
    await put_and_wait(wire, *(item(done.append, "bad", "bad") for _ in range(20)))
    assert [str(each.error)[:10] for each in done] == ["ValueError"] * 20


async def test_a_batch_whose_answer_is_lost_is_halved_until_one_comes(pauses):
    wire, done = Picky(3, AnswerLostError("too much")), []
    await put_and_wait(wire, *(item(done.append, str(number)) for number in range(40)))
    assert wire.sizes[:5] == [40, 20, 10, 5, 2]
    assert [each.answers[0].data for each in done] == [str(number) for number in range(40)]
    assert {each.error for each in done} == {None}


async def test_a_single_item_is_not_divided(pauses):
    wire, done = Picky(2, AnswerLostError("too much")), []
    sender = Sender(wire, asyncio.get_running_loop(), "here")
    sender.put(item(done.append, "a", "b", "c", patience=0.02))
    await eventually(lambda: done)
    assert isinstance(done[0].error, ResonateStoreError)
    assert {len(each) for each in wire.sent} == {3}
    await sender.close()


async def test_batches_grow_again_after_successes(pauses):
    wire, done = Picky(3, AnswerLostError("too much")), []
    sender = await put_and_wait(wire, *(item(done.append, str(number)) for number in range(40)))
    wire.most = 1_000
    wire.sent.clear()
    for number in range(3_000):
        sender.put(item(done.append, str(number)))
    await asyncio.wait_for(sender.idle(), 5)
    assert wire.sizes[:-1] == sorted(wire.sizes[:-1])
    assert len(wire.sent) < 40
    assert max(wire.sizes) == 500
    assert len(done) == 3_040


async def test_a_server_that_cannot_be_reached_says_nothing_about_the_size(pauses):
    wire, done = Wire(), []
    wire.script = [TransportError("refused")] * 5
    await put_and_wait(wire, *(item(done.append, str(number)) for number in range(8)))
    assert {len(each) for each in wire.sent} == {8}
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32]


async def test_what_did_not_fit_into_an_answer_is_sent_again_without_a_pause(pauses):
    text = "Service unavailable: the answer to this batch is too large"

    class Cap(Wire):
        async def send(self, requests):
            answers = await super().send(requests)
            return answers[:7] + [Answer(503, text) for _ in answers[7:]]

    wire, done = Cap(), []
    await put_and_wait(wire, *(item(done.append, str(number)) for number in range(100)))
    assert [each.answers[0].data for each in done] == [str(number) for number in range(100)]
    assert pauses == []
    assert sum(len(each) for each in wire.sent[1:]) < 150  # the server decides what fits, once


async def test_there_is_a_pause_when_nothing_of_a_batch_was_answered(pauses):
    wire, done = Wire(), []
    wire.script = [503, 503, 503]
    await put_and_wait(wire, *(item(done.append, id) for id in "abc"))
    assert pauses == [0.02, 0.04, 0.08]
    assert [each.repeated for each in done] == [True] * 3


async def test_what_went_into_a_dead_connection_is_sent_again_as_it_was_without_a_pause(pauses):
    wire, done = Wire(), []
    wire.script = [DeadConnectionError("dead")]
    await put_and_wait(wire, *(item(done.append, id) for id in "abc"))
    assert wire.sent == [["a", "b", "c"]] * 2
    assert pauses == []
    assert [each.repeated for each in done] == [True] * 3


async def test_a_send_that_takes_too_long_is_given_up_and_made_again():
    class Stuck(Wire):
        cancelled = 0

        async def send(self, requests):
            try:
                return await super().send(requests)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise

    wire, done = Stuck(), []
    wire.gate.clear()
    sender = Sender(wire, asyncio.get_running_loop(), "here", seconds=0.02)
    sender.put(item(done.append, "a"))
    await eventually(lambda: wire.cancelled == 2)
    wire.gate.set()
    await sender.idle()
    assert len(done) == 1
    assert done[0].repeated
