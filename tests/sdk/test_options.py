"""What constructors and ``options`` take, and in which words they refuse the rest."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import threading
import time

import pytest

from resonate import AsyncResonate, Resonate
from resonate.encoders import Compression
from resonate.errors import ResonateTimedoutError
from resonate.retry_policies import Constant, Exponential, Linear, Never
from resonate.sdk.options import Options, address_of, address_of_group, deadline, quoted


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("RESONATE_"):
            monkeypatch.delenv(name)


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"tags": []}, TypeError, "tags must be `dict`, got list"),
        ({"tags": {"a": 1}}, TypeError, "tags must map `str` to `str`, got int"),
        ({"tags": {1: "a"}}, TypeError, "tags must map `str` to `str`, got int"),
        ({"timeout": "5"}, TypeError, "timeout must be `float`, got str"),
        ({"timeout": True}, TypeError, "timeout must be `float`, got bool"),
        ({"version": "1"}, TypeError, "version must be `int`, got str"),
        ({"version": True}, TypeError, "version must be `int`, got bool"),
        ({"target": 5}, TypeError, "target must be `str`, got int"),
        ({"version": -1}, ValueError, "version must be greater than or equal to zero"),
        ({"timeout": -0.1}, ValueError, "timeout must be greater than or equal to zero"),
        ({"timeout": math.nan}, ValueError, "timeout must be greater than or equal to zero"),
        ({"target": ""}, ValueError, "target must not be empty"),
        ({"encoder": 5}, TypeError, "encoder must be `Encoder | None`, got int"),
        ({"target": "\ud800"}, ValueError, "target is no valid Unicode: it has half a surrogate"),
        (
            {"tags": {"a": "\ud800"}},
            ValueError,
            "tags is no valid Unicode: it has half a surrogate",
        ),
    ],
)
def test_wrong_options_are_refused_in_these_words(local, options, error, text):
    with pytest.raises(error) as caught:
        local.options(**options)
    assert str(caught.value) == text
    with pytest.raises(error):
        local.register(lambda ctx: 1, name="f").options(**options)


class Mine:
    """A policy of a user's own."""

    def next(self, attempt):
        return 0.0


class Patient(Constant):
    """A policy made from one of ours."""


def making(func):
    return Constant(1)


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Mine(), "Mine"),
        (Patient(1), "Patient"),
        (making, "making"),
        (lambda func: None, "<lambda>"),
    ],
)
def test_a_policy_that_cannot_travel_is_refused_with_what_to_do(local, policy, name):
    f = local.register(lambda ctx: 1, name="f")
    for options in (local.options, f.options, AsyncResonate.local().options):
        with pytest.raises(TypeError) as caught:
            options(retry_policy=policy)
        assert str(caught.value).endswith(
            f"{name} is code, and cannot travel with a call to the worker that runs it: give it to"
            " register there, or use one of resonate.retry_policies"
            " (Never, Constant, Linear, Exponential) itself"
        )


@pytest.mark.parametrize("policy", [Never(), Constant(1), Linear(2), Exponential(random=lambda: 0)])
def test_the_policies_of_the_package_travel(local, policy):
    local.register(lambda ctx: ctx.info.tags, name="f")
    told = local.options(retry_policy=policy).run("id", "f")["resonate:retry"]
    assert json.loads(told)["kind"] == type(policy).__name__


def test_a_policy_that_cannot_travel_may_be_registered(local):
    attempts = []

    @local.register(retry_policy=Mine())
    def f(ctx):
        attempts.append(ctx.info.attempt)
        if len(attempts) < 3:
            raise ValueError
        return "done"

    assert f.run("id") == "done"


@pytest.mark.parametrize("kind", ["rpc", "detached"])
def test_a_policy_that_cannot_travel_is_refused_in_functions_too(local, kind):
    @local.register
    def f(ctx):
        with pytest.raises(TypeError, match="Mine is code"):
            getattr(ctx, kind)("leaf").options(retry_policy=Mine())
        return (yield ctx.run(lambda ctx: "here").options(retry_policy=Mine()))

    assert f.run("id") == "here"


def test_options_are_a_copy_that_shares_everything(local):
    copy = local.options(target="there")
    assert copy is not local
    assert copy._shared is local._shared
    assert local._calls.options == Options()
    copy.register(lambda ctx: "f", name="f")
    assert local.run("a", "f") == "f"


def test_none_keeps_the_present_value_and_tags_are_replaced(local):
    first = local.options(tags={"a": "1"}, target="t", timeout=5, version=2)
    second = first.options(tags={"b": "2"}, target=None, timeout=None, version=None)
    assert second._calls.options == Options(tags={"b": "2"}, target="t", timeout=5, version=2)


def test_tags_changed_afterwards_do_not_change_the_options(local):
    tags = {"a": "1"}
    copy = local.options(tags=tags)
    tags["b"] = "2"
    assert copy._calls.options.tags == {"a": "1"}


def test_tags_and_timeout_are_those_of_the_promise(local):
    seen = []
    local.register(lambda ctx: seen.append(ctx.info), name="f")
    local.options(tags={"mine": "x"}, timeout=100).run("a", "f")
    (info,) = seen
    assert info.tags["mine"] == "x"
    assert info.tags["resonate:target"] == "poll://any@default"
    assert time.time() + 99 < info.timeout < time.time() + 101


@pytest.mark.parametrize("timeout", [math.inf, 10**400, 1e300, 9.3e15])
def test_a_timeout_beyond_all_clocks_means_no_deadline(local, timeout):
    local.register(lambda ctx: "f", name="f")
    assert local.options(timeout=timeout).run("a", "f") == "f"
    assert deadline(Options().merged(timeout=timeout).timeout, 1_800_000_000.0) == 2**63 - 1


def test_a_timeout_of_zero_is_over_at_once(local):
    local.register(lambda ctx: "f", name="f")
    with pytest.raises(ResonateTimedoutError):
        local.options(timeout=0).rpc("a", "f")


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("workers", "poll://any@workers"),
        ("poll://any@workers", "poll://any@workers"),
        ("poll://uni@workers/w1", "poll://uni@workers/w1"),
        ("http://host/path", "http://host/path"),
    ],
)
def test_a_bare_target_means_any_member_of_that_group(target, address):
    assert address_of(target) == address


def test_a_name_is_quoted_only_where_an_address_needs_it():
    assert quoted("worker-group_1.ö x") == "worker-group_1.ö x"
    assert address_of_group("a/b?c#d@e:f%g") == "poll://any@a%2Fb%3Fc%23d%40e%3Af%25g"


@pytest.mark.parametrize("group", ["a/b", "a:b", "50%", "x@y", "ö ?"])
def test_a_group_may_have_any_name(make, group):
    resonate = make(Resonate.local(group=group, pid="p/1:2"))
    resonate.register(lambda ctx: "f", name="f")
    resonate.start()
    assert resonate.rpc("a", "f") == "f"


# --- constructors ---------------------------------------------------------------------------------

MISUSE = [
    ({"group": 5}, TypeError, "group must be `str`, got int"),
    ({"group": None}, TypeError, "group must be `str`, got NoneType"),
    ({"group": ""}, ValueError, "group must not be empty"),
    ({"group": "\ud800"}, ValueError, "group is no valid Unicode: it has half a surrogate"),
    ({"pid": 5}, TypeError, "pid must be `str | None`, got int"),
    ({"pid": ""}, ValueError, "pid must not be empty"),
    ({"ttl": "10"}, TypeError, "ttl must be `int`, got str"),
    ({"ttl": 0.5}, TypeError, "ttl must be `int`, got float"),
    ({"ttl": True}, TypeError, "ttl must be `int`, got bool"),
    ({"ttl": 0}, ValueError, "ttl must be greater than zero"),
    ({"concurrency": 0}, ValueError, "concurrency must be greater than zero"),
    ({"workers": -1}, ValueError, "workers must be greater than zero"),
    ({"workers": 0}, ValueError, "workers must be greater than zero"),
    ({"dependencies": 5}, TypeError, "dependencies must be `Mapping | None`, got int"),
    ({"registry": {}}, TypeError, "registry must be `Registry | None`, got dict"),
    ({"log_level": []}, TypeError, "log_level must be an int or a str, got list"),
    (
        {"log_level": "x"},
        ValueError,
        "string log_level must be one of ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'), got 'x'",
    ),
]
REMOTE_MISUSE = [
    ({"url": 5}, TypeError, "url must be `str | None`, got int"),
    (
        {"url": "localhost:8001"},
        ValueError,
        "url must begin with http:// or https://, got 'localhost:8001'",
    ),
    (
        {"url": "http://"},
        ValueError,
        "url must have a host, and a port that exists, got 'http://'",
    ),
    (
        {"url": "http://127.0.0.1:99999"},
        ValueError,
        (
            "url must have a host, and a port that exists, got 'http://127.0.0.1:99999':"
            " Port out of range 0-65535"
        ),
    ),
    ({"token": 5}, TypeError, "token must be `str | None`, got int"),
    ({"auth": "user"}, TypeError, "auth must be `tuple[str, str] | None`, got str"),
    ({"patience": "5"}, TypeError, "patience must be `float`, got str"),
    ({"patience": -1}, ValueError, "patience must be greater than zero"),
    ({"patience": 0}, ValueError, "patience must be greater than zero"),
]


@pytest.mark.parametrize(("arguments", "error", "text"), MISUSE)
@pytest.mark.parametrize("constructor", [Resonate, Resonate.remote, Resonate.local])
def test_wrong_arguments_are_refused_in_these_words(constructor, arguments, error, text):
    with pytest.raises(error) as caught:
        constructor(**arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize(("arguments", "error", "text"), REMOTE_MISUSE)
@pytest.mark.parametrize("constructor", [Resonate, Resonate.remote])
def test_wrong_arguments_for_a_server_are_refused_too(constructor, arguments, error, text):
    with pytest.raises(error) as caught:
        constructor(**{"url": "http://localhost", **arguments})
    assert str(caught.value) == text


def test_constructing_connects_nothing():
    before = threading.active_count()
    resonate = Resonate.remote("http://127.0.0.1:9")
    resonate.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("environment", "arguments", "url"),
    [
        ({}, {}, "http://localhost:8001"),
        ({"RESONATE_URL": "http://e:1"}, {}, "http://e:1"),
        ({"RESONATE_URL": "http://e:1"}, {"url": "http://a:2"}, "http://a:2"),
        ({"RESONATE_URL": "http://e:1"}, {"host": "http://h"}, "http://h:8001"),
        ({"RESONATE_URL": "http://e:1"}, {"store_port": 9}, "http://localhost:9"),
        ({"RESONATE_HOST": "http://h"}, {}, "http://h:8001"),
        ({"RESONATE_HOST": "h", "RESONATE_PORT": "7"}, {}, "http://h:7"),
        ({}, {"host": "https://h/", "store_port": "9"}, "https://h:9"),
    ],
)
def test_remote_finds_its_server_in_arguments_and_environment(
    monkeypatch, environment, arguments, url
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Resonate.remote(**arguments)._shared.where == url


def test_the_constructor_is_local_without_a_url(monkeypatch):
    assert "in this process" in repr(Resonate())
    monkeypatch.setenv("RESONATE_URL", "http://e:1")
    assert Resonate()._shared.where == "http://e:1"
    assert "in this process" in repr(Resonate.local())


def test_streams_may_have_a_port_of_their_own():
    transport = Resonate.remote(message_source_port="8002")._shared._connect()
    assert transport.url == "http://localhost:8001"
    assert transport._poll_url == "http://localhost:8002"


def test_credentials_come_from_arguments_or_the_environment(monkeypatch):
    def made(**arguments):
        transport = Resonate.remote("http://h", **arguments)._shared._connect()
        return transport._connections._headers.get("authorization")

    assert made() is None
    monkeypatch.setenv("RESONATE_USERNAME", "u")
    monkeypatch.setenv("RESONATE_PASSWORD", "p")
    assert made() == "Basic dTpw"
    assert made(auth=("a", "b")) == "Basic YTpi"
    monkeypatch.setenv("RESONATE_TOKEN", "secret")
    assert made() == "Bearer secret"
    assert made(token="mine") == "Bearer mine"
    assert Resonate.remote("http://h")._shared.token == "secret"


def test_log_level_is_that_of_our_loggers():
    logger = logging.getLogger("resonate")
    before = logger.level
    try:
        Resonate.local(log_level="debug")
        assert logger.level == logging.DEBUG
        Resonate.local(log_level=logging.ERROR)
        assert logger.level == logging.ERROR
        Resonate.local()
        assert logger.level == logging.ERROR
    finally:
        logger.setLevel(before)


def test_pids_are_unique_unless_given():
    assert Resonate.local(pid="mine").pid == "mine"
    assert len({Resonate.local().pid for _ in range(100)}) == 100
    assert Resonate.local(group="g").group == "g"


NOT_HEEDED = {
    "run": {"target": "g", "version": 2},
    "rpc": {"non_retryable_exceptions": (ValueError,)},
    "detached": {"non_retryable_exceptions": (ValueError,)},
    "sleep": {
        "timeout": 5,
        "target": "g",
        "version": 2,
        "retry_policy": Never(),
        "encoder": Compression(),
    },
    "promise": {"target": "g", "version": 2, "retry_policy": Never()},
}


@pytest.mark.parametrize("kind", NOT_HEEDED)
def test_an_operation_refuses_options_that_it_would_not_heed(make, kind):
    local = make(Resonate.local())

    def body(ctx):
        makers = {
            "run": lambda: ctx.run(body),
            "rpc": lambda: ctx.rpc("f"),
            "detached": lambda: ctx.detached("f"),
            "sleep": lambda: ctx.sleep(0),
            "promise": ctx.promise,
        }
        told = []
        for name, value in NOT_HEEDED[kind].items():
            try:
                makers[kind]().options(**{name: value})
            except TypeError as error:
                told.append(str(error).partition(":")[0])
        return told

    local.register(body)
    told = local.run("id", "body")
    assert told == [f"{kind} takes no {name}" for name in NOT_HEEDED[kind]]


# --- waiting for results ------------------------------------------------------------------------

HUGE = 2**1030  # no float


@pytest.fixture(params=["handle", "async handle", "operation"])
def waiting(request, make):
    """Return what waits so long for a result that is there, and for one that never comes."""
    resonate = AsyncResonate.local() if request.param == "async handle" else make(Resonate.local())
    resonate.register(lambda ctx: "there", name="there")

    def through_a_handle(name, timeout):
        resonate.start()
        return resonate.begin_rpc(name, name).result(timeout)

    def through_an_operation(name, timeout):
        @resonate.register(name="body")
        def body(ctx):
            return ctx.detached(name).result().result(timeout)  # it outlives the function

        return resonate.begin_run("id", "body").result(10)

    def through_an_async_handle(name, timeout):
        async def main():
            async with resonate:
                resonate.start()
                return await (await resonate.begin_rpc(name, name)).result(timeout)

        return asyncio.run(main())

    return {
        "handle": through_a_handle,
        "async handle": through_an_async_handle,
        "operation": through_an_operation,
    }[request.param]


@pytest.mark.parametrize("timeout", [5, 5.5, math.inf, pytest.param(HUGE, id="huge"), None])
def test_a_result_is_waited_for_as_long_as_it_takes(waiting, timeout):
    assert waiting("there", timeout) == "there"


@pytest.mark.parametrize("timeout", [0, -1, pytest.param(-HUGE, id="huge"), -math.inf, 0.01])
def test_a_result_that_does_not_come_is_a_timeout(waiting, timeout):
    with pytest.raises(TimeoutError):
        waiting("nowhere", timeout)


@pytest.mark.parametrize(
    ("timeout", "error", "text"),
    [
        ("5", TypeError, "timeout must be `float`, got str"),
        (True, TypeError, "timeout must be `float`, got bool"),
        (math.nan, ValueError, "timeout must not be NaN"),
    ],
)
def test_a_wrong_time_to_wait_is_refused(waiting, timeout, error, text):
    with pytest.raises(error, match=text):
        waiting("there", timeout)
