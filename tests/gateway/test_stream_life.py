"""The life of a stream: replaced, recycled, cut off, not read, refused, ended."""

from __future__ import annotations

import contextlib
import socket

import pytest

from resonate.gateway import stream
from resonate.protocol.limits import UNSENT_BYTES_MAX
from tests.gateway.wire import create, envelope, eventually, get, post, request

FOREIGN, OWN = "", "?capacity=8&presence=1"


def finish(server, task_id):
    action = {"kind": "promise.settle", "head": {}, "data": {"id": task_id, "state": "resolved"}}
    server.post("task.fulfill", {"id": task_id, "version": 1, "action": action})


def hold_clean_end(events):
    while (chunk := events.chunk()) != b"":
        assert chunk.startswith((b":", b"data: "))
    assert events.rest() == b""


# --- replacement ----------------------------------------------------------------------------------


def test_a_second_connection_takes_the_place_of_the_first(either):
    with either.events("/poll/replace/a") as old, either.events("/poll/replace/a") as new:
        hold_clean_end(old)
        assert either.members("replace") == ["a"]
        either.task("replace.1", "poll://uni@replace/a")
        assert new.task() == "replace.1"
    either.gone("replace")


def test_what_the_first_did_not_take_goes_to_the_second(either):
    with either.events("/poll/move/a") as old:
        either.task("move.1", "poll://uni@move/a")
        assert old.task() == "move.1"  # offered, never acquired
        with either.events("/poll/move/a") as new:
            assert new.task() == "move.1"
            hold_clean_end(old)
    either.gone("move")


def test_a_hundred_replacements_leave_one(either):
    with contextlib.ExitStack() as stack:
        every = [stack.enter_context(either.events("/poll/many/a")) for _ in range(100)]
        for old in every[:-1]:
            hold_clean_end(old)
        assert either.members("many") == ["a"]
        either.task("many.1", "poll://any@many")
        assert every[-1].task() == "many.1"
    either.gone("many")


def test_the_same_id_in_another_group_is_somebody_else(server):
    with server.events("/poll/same1/a") as one, server.events("/poll/same2/a") as two:
        server.task("same.1", "poll://any@same1")
        server.task("same.2", "poll://any@same2")
        assert (one.task(), two.task()) == ("same.1", "same.2")
    server.gone("same1")


# --- recycling ------------------------------------------------------------------------------------


def test_a_stream_of_a_foreign_client_is_ended_at_its_age_and_work_waits_for_it(
    either, monkeypatch
):
    monkeypatch.setattr(stream, "RECYCLE_SECONDS", (0.1, 0.1))
    with either.events("/poll/recycle/a") as old:
        hold_clean_end(old)
    assert either.members("recycle") == []
    monkeypatch.undo()
    either.task("recycle.1", "poll://uni@recycle/a")
    either.post("promise.create", create("recycle.2"))
    either.post(
        "promise.register_listener", {"awaited": "recycle.2", "address": "poll://uni@recycle/a"}
    )
    either.settle("recycle.2")
    with either.events("/poll/recycle/a") as new:
        first, second = new.event(), new.event()
        assert {first["kind"], second["kind"]} == {"execute", "unblock"}
    either.gone("recycle")


def test_the_preferred_member_is_waited_for_while_it_is_recycled(server, monkeypatch):
    with server.events("/poll/prefer/other") as other:
        monkeypatch.setattr(stream, "RECYCLE_SECONDS", (0.05, 0.05))
        with server.events("/poll/prefer/a") as old:
            hold_clean_end(old)
        monkeypatch.undo()
        server.task("prefer.1", "poll://any@prefer/a")
        server.task("prefer.2", "poll://any@prefer")
        assert other.task() == "prefer.2"
        with server.events("/poll/prefer/a") as new:
            assert new.task() == "prefer.1"
            assert other.quiet()
    server.gone("prefer")


@pytest.mark.parametrize(
    "query", ["?capacity=8", "?claim=1&ttl=1000", "?presence=1", "?capacity=0"]
)
def test_a_stream_that_declares_anything_is_not_recycled(server, monkeypatch, query):
    monkeypatch.setattr(stream, "RECYCLE_SECONDS", (0.01, 0.01))
    with (
        server.events(f"/poll/declared/a{query}") as own,
        server.events("/poll/declared/b") as foreign,
    ):
        hold_clean_end(foreign)
        assert own.quiet()
        assert server.members("declared") == ["a"]
    server.gone("declared")


# --- disconnect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
def test_a_closed_connection_is_noticed_and_its_offer_made_elsewhere_at_once(either, leave):
    with either.events(f"/poll/lost.{leave}/b?capacity=0"):
        first = either.events(f"/poll/lost.{leave}/a")
        either.task(f"lost.{leave}", f"poll://any@lost.{leave}")
        assert first.task() == f"lost.{leave}"
        with either.events(f"/poll/lost.{leave}/c") as second:
            if leave == "close":
                first.sock.close()
            elif leave == "reset":
                first.reset()
            else:
                first.sock.shutdown(socket.SHUT_WR)
            assert second.task() == f"lost.{leave}"
        first.sock.close()
    either.gone(f"lost.{leave}")


def test_presence_releases_what_a_lost_member_held(fresh):
    server = fresh(grace_ms=50)
    with server.events("/poll/presence/b?capacity=1&presence=1&claim=1&ttl=60000") as other:
        server.task("presence.0", "poll://uni@presence/b")
        assert other.task() == "presence.0"
        with server.events("/poll/presence/a?capacity=1&presence=1&claim=1&ttl=60000") as holder:
            server.task("presence.1", "poll://any@presence")
            assert holder.task() == "presence.1"
        finish(server, "presence.0")
        event = other.event()
        assert event["data"]["task"]["id"] == "presence.1"
        assert event["data"]["task"]["version"] == 2


def test_presence_keeps_what_a_member_holds_that_comes_back_within_the_grace(fresh):
    server = fresh(grace_ms=60_000)
    target = "/poll/back/a?presence=1&claim=1&ttl=60000"
    with server.events(target) as first:
        server.task("back.1", "poll://any@back")
        assert first.task() == "back.1"
    server.gone("back")
    with server.events(target) as second:
        assert second.quiet()
        finish(server, "back.1")
        server.task("back.2", "poll://any@back")
        assert second.task() == "back.2"


@pytest.mark.parametrize("how", ["closed", "ended"])
def test_nothing_is_left_to_do_for_a_stream_that_is_over(either, how):
    with either.events("/poll/over/a") as events:
        connection = either.member("over", "a").connection
        if how == "ended":
            either.call(connection.end)
            hold_clean_end(events)
    either.gone("over")
    assert [timer.cancelled() for timer in connection._timers.values()] == [True, True]
    eventually(lambda: not connection.protocol.gateway.streams)


# --- not reading ----------------------------------------------------------------------------------


def fill(server, group, count, size):
    """Make promises whose unblocks go to member ``a``, and settle them with large values."""
    for each in range(count):
        name = f"{group}.{each}"
        server.post("promise.create", create(name))
        server.post(
            "promise.register_listener", {"awaited": name, "address": f"poll://uni@{group}/a"}
        )
        value = {"data": "x" * size}
        server.post("promise.settle", {"id": name, "state": "resolved", "value": value})


def test_what_is_unsent_is_bounded_on_every_connection(either):
    with either.events("/poll/bound/a"), either.client() as client:
        assert client.ask(get(b"/health")).status == 200
        for each in either.connections():
            assert either.call(each.transport.get_write_buffer_limits)[1] == UNSENT_BYTES_MAX
    either.gone("bound")


def test_who_does_not_read_is_given_nothing_more_and_others_get_the_work(either, monkeypatch):
    monkeypatch.setattr(stream, "KEEPALIVE_SECONDS", 0.02)
    with either.events("/poll/stuck/a", receive_buffer=4_096) as stuck:
        member = either.member("stuck", "a")
        fill(either, "stuck", 16, 500_000)
        assert member.paused
        waiting = either.call(member.connection.protocol.transport.get_write_buffer_size)
        with either.events("/poll/stuck/b") as reader:
            either.task("stuck.task", "poll://any@stuck")
            assert reader.task() == "stuck.task"
            either.settle("stuck.task")
            for _ in range(5):
                assert reader.chunk() == b": \n\n"
        monkeypatch.undo()
        assert (
            either.call(member.connection.protocol.transport.get_write_buffer_size)
            <= waiting
            < 2_000_000
        )
        told = {stuck.event()["data"]["promise"]["id"] for _ in range(16)}
        assert told == {f"stuck.{each}" for each in range(16)}  # what waited came when it read
        either.task("stuck.again", "poll://uni@stuck/a")
        assert stuck.task() == "stuck.again"
        assert not member.paused
    either.gone("stuck")


def test_a_paused_connection_that_breaks_is_let_go(either):
    with either.events("/poll/broken/a", receive_buffer=4_096) as stuck:
        fill(either, "broken", 16, 500_000)
        assert either.member("broken", "a").paused
        stuck.reset()
        either.gone("broken")
    with either.events("/poll/broken/a") as again:
        assert again.event()["kind"] == "unblock"
    either.gone("broken")


def test_a_poll_behind_answers_that_are_not_read_waits_for_them(either):
    either.post("promise.create", create("undrained", param={"data": "x" * 3_000_000}))
    with either.client(receive_buffer=4_096) as client:
        client.send(post("promise.get", {"id": "undrained"}) * 5 + get(b"/poll/undrained/a"))
        eventually(lambda: any(each.held_back for each in either.connections()))
        assert either.members("undrained") == []  # its turn comes when the answers are taken
        for _ in range(5):
            assert client.answer().status == 200
        assert client.answer(bodiless=True).status == 200
        eventually(lambda: either.members("undrained"))
    either.gone("undrained")


# --- limits and ends ------------------------------------------------------------------------------


def test_too_many_connections_are_refused_in_plain_text(server, monkeypatch):
    monkeypatch.setattr(stream, "CONNECTIONS_MAX", 2)
    with server.events("/poll/full/a"), server.events("/poll/full/b") as second:
        with server.client() as third:
            answer = third.ask(get(b"/poll/full/c"))
            assert (answer.status, answer.body) == (503, b"Poll registration at capacity")
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert third.rest() == b""
        assert sorted(server.members("full")) == ["a", "b"]
        second.sock.close()
        eventually(lambda: server.members("full") == ["a"])
        with server.events("/poll/full/c") as third:
            assert third.answered.status == 200
    server.gone("full")


def test_five_hundred_connections_at_once(either):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(either.client()) for _ in range(500)]
        for number, client in enumerate(clients):
            client.send(get(b"/poll/crowd/%d?capacity=1" % number))
        for client in clients:
            assert client.answer(bodiless=True).status == 200
            assert client.until(b"\n\n\r\n") == b"d\r\n: connected\n\n\r\n"
        batch = [
            envelope("promise.create", create(f"crowd.{each}", target="poll://any@crowd"))
            for each in range(500)
        ]
        with either.client() as caller:
            assert caller.ask(request(batch)).status == 200
        for client in clients:
            assert b'"kind":"execute"' in client.until(b"\n\n\r\n")
        either.probe()
    either.gone("crowd")


def test_streams_are_served_while_the_store_fails(server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(server.engine, "problem", "the disk is full")
        events = server.events("/poll/failing/a")
        assert events.answered.status == 200
    server.call(server.engine.connections.welcome, server.member("failing", "a"))
    server.task("failing.1", "poll://any@failing")
    with events:
        assert events.task() == "failing.1"
    server.gone("failing")
