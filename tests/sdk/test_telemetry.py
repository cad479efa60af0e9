"""Spans: one trace from the call to the last step, whichever processes that goes through."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from resonate import AsyncResonate, Resonate, telemetry
from resonate.errors import RemoteError, ResonateError
from resonate.retry_policies import Constant
from tests.processes.children import until
from tests.sdk import crunching


@pytest.fixture
def traced():
    """Switch spans on; return the tracer, and what has ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.instrument(provider)
    yield SimpleNamespace(spans=exporter.get_finished_spans, tracer=provider.get_tracer("test"))
    telemetry.uninstrument()
    provider.shutdown()


def named(traced, name, count=1):
    """Return the spans of that name, once there are so many."""
    found = until(lambda: len(spans := of(traced, name)) >= count and spans)
    assert len(found) == count, [each.attributes for each in found]
    return found[0] if count == 1 else found


def of(traced, name):
    return [each for each in traced.spans() if each.name == name]


def names(traced):
    return sorted(each.name for each in traced.spans())


def fact(span, name):
    return span.attributes[f"resonate.{name}"]


def leads_to(parent, child):
    return (child.parent.span_id, child.context.trace_id) == (
        parent.context.span_id,
        parent.context.trace_id,
    )


# --- one call -------------------------------------------------------------------------------------


def test_a_call_and_its_execution_are_one_trace(traced, local):
    local.register(lambda ctx, n: n + 1, name="f", version=3)
    local.start()
    with traced.tracer.start_as_current_span("request"):
        assert local.rpc("id", "f", 1) == 2
    call, run = named(traced, "rpc f"), named(traced, "execute f")
    assert leads_to(named(traced, "request"), call)
    assert leads_to(call, run)
    assert (call.kind, run.kind) == (SpanKind.CLIENT, SpanKind.CONSUMER)
    assert dict(call.attributes) == {
        "resonate.promise.id": "id",
        "resonate.function": "f",
        "resonate.function.version": 3,
        "resonate.outcome": "resolved",
    }
    assert dict(run.attributes) == {
        "resonate.promise.id": "id",
        "resonate.function": "f",
        "resonate.function.version": 3,
        "resonate.attempt": 1,
        "resonate.worker.pid": local.pid,
        "resonate.group": "default",
        "resonate.outcome": "resolved",
    }
    tags = local.promises.get("id").tags
    context = call.context
    assert tags["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


@pytest.mark.parametrize("how", ["begin_run", "begin_rpc"])
def test_a_call_that_nobody_waits_for_ends_when_it_is_durable(traced, local, how):
    go = threading.Event()
    local.register(lambda ctx: go.wait(10), name="f")
    handle = getattr(local, how)("id", "f")
    call = named(traced, how.replace("begin_", "") + " f")
    assert (call.kind, fact(call, "outcome")) == (SpanKind.PRODUCER, "begun")
    local.start()
    go.set()
    assert handle.result(5)
    assert leads_to(call, named(traced, "execute f"))


@pytest.mark.parametrize("how", ["run", "rpc"])
def test_a_call_of_something_that_exists_is_linked_to_the_first(traced, local, how):
    local.register(lambda ctx: 1, name="f")
    local.start()
    for _ in range(2):
        getattr(local, how)("id", "f")
    first, second = named(traced, f"{how} f", 2)
    outcomes = {"run": ["begun", "joined"], "rpc": ["resolved"] * 2}
    assert [fact(each, "outcome") for each in (first, second)] == outcomes[how]
    assert not first.links
    (link,) = second.links
    assert link.context.trace_id == first.context.trace_id
    assert link.context.span_id == first.context.span_id
    named(traced, "execute f")


def test_a_call_that_fails_says_why(traced, make):
    resonate = make(Resonate.remote("http://127.0.0.1:9", patience=0.1))
    with pytest.raises(ResonateError):
        resonate.rpc("id", "f")
    call = named(traced, "rpc f")
    assert fact(call, "outcome") == "failed"
    assert call.status.status_code is StatusCode.ERROR


async def test_calls_of_an_async_client_are_traced_too(traced):
    async with AsyncResonate.local() as resonate:

        @resonate.register
        async def f(ctx):
            with traced.tracer.start_as_current_span("inside"):
                return 1

        with traced.tracer.start_as_current_span("request"):
            assert await f.run("id") == 1
        call = named(traced, "run f")
        assert leads_to(named(traced, "request"), call)
        assert leads_to(call, named(traced, "execute f"))
        assert leads_to(named(traced, "execute f"), named(traced, "inside"))


# --- functions ------------------------------------------------------------------------------------


def kinds_of_bodies(traced):
    def step(ctx):
        with traced.tracer.start_as_current_span("in step"):
            return 1

    def plain(ctx):
        with traced.tracer.start_as_current_span("own"):
            return ctx.run(step).result() + ctx.rpc("other").result()

    def generator(ctx):
        with traced.tracer.start_as_current_span("own"):
            one = yield ctx.run(step)
            return one + (yield ctx.rpc("other"))

    async def coroutine(ctx):
        with traced.tracer.start_as_current_span("own"):
            return await ctx.run(step) + await ctx.rpc("other")

    return {"plain": plain, "generator": generator, "coroutine": coroutine}


@pytest.mark.parametrize("kind", ["generator", "coroutine"])
def test_steps_calls_and_own_spans_have_their_place_in_the_tree(traced, local, kind, caplog):
    local.register(kinds_of_bodies(traced)[kind], name="f")
    local.register(lambda ctx: 2, name="other")
    assert local.run("id", "f") == 3
    run, own = named(traced, "execute f"), named(traced, "own")
    (step,) = [each for each in traced.spans() if each.name.startswith("step ")]
    assert leads_to(run, step)
    assert (step.kind, fact(step, "promise.id")) == (SpanKind.INTERNAL, "id.1")
    assert leads_to(step, named(traced, "in step"))
    assert leads_to(run, own)
    call = named(traced, "rpc other")
    assert leads_to(own, call)
    assert (fact(call, "promise.id"), fact(call, "caller.id")) == ("id.2", "id")
    assert (fact(call, "worker.pid"), fact(call, "group")) == (local.pid, "default")
    assert fact(call, "function.version") == 1
    assert leads_to(call, named(traced, "execute other"))
    assert "Failed to detach context" not in caplog.messages


def test_a_function_that_was_let_go_and_is_run_again_makes_no_span_twice(traced, local):
    calls = kinds_of_bodies(traced)
    local.register(calls["plain"], name="f")
    local.register(lambda ctx: 2, name="other")
    assert local.run("id", "f") == 3
    named(traced, "rpc other")
    named(traced, "execute other")
    assert len([each for each in traced.spans() if each.name.startswith("step ")]) == 1
    until(lambda: [each for each in of(traced, "execute f") if fact(each, "outcome") == "resolved"])
    before = sorted(fact(each, "outcome") for each in of(traced, "execute f"))
    assert before in (["resolved"], ["resolved", "suspended"])  # the let-go thread may end later


def test_every_attempt_has_a_span_and_errors_are_recorded(traced, local):
    @local.register(retry_policy=Constant(delay=0, max_retries=1))
    def f(ctx):
        raise ValueError(f"attempt {ctx.info.attempt}")

    with pytest.raises(ValueError, match="attempt 2"):
        f.run("id")
    runs = named(traced, "execute f", 2)
    assert [fact(each, "attempt") for each in runs] == [1, 2]
    assert [fact(each, "outcome") for each in runs] == ["retried", "rejected"]
    for number, run in enumerate(runs, start=1):
        assert run.status.status_code is StatusCode.ERROR
        assert run.status.description == f"ValueError: attempt {number}"
        (event,) = run.events
        assert event.attributes["exception.type"] == "ValueError"
    assert len({run.context.trace_id for run in runs}) == 1


def test_an_error_without_a_text_ends_a_span_all_the_same(traced, local):
    class SilentError(Exception):
        def __str__(self):
            raise KeyboardInterrupt

    @local.register
    def f(ctx):
        raise SilentError

    with pytest.raises(RemoteError):
        f.run("id")
    run = named(traced, "execute f")
    assert (fact(run, "outcome"), run.status.description) == ("rejected", "SilentError")
    (event,) = run.events
    assert event.attributes["exception.type"].endswith("SilentError")


def test_a_detached_call_belongs_to_the_trace(traced, local):
    @local.register
    def f(ctx):
        promise = yield ctx.detached("other")
        return promise.id

    local.register(lambda ctx: 1, name="other")
    id = f.run("id")
    assert local.get(id).result(5) == 1
    call = named(traced, "detached other")
    assert leads_to(named(traced, "execute f"), call)
    assert leads_to(call, named(traced, "execute other"))


def test_a_canceled_function_ends_its_span(traced, make):
    resonate = make(Resonate.local(ttl=1))
    started = threading.Event()

    @resonate.register
    def f(ctx):
        started.set()
        while not ctx.cancelled:
            pass

    handle = f.begin_run("id")
    assert started.wait(5)
    handle.cancel()
    assert fact(named(traced, "execute f"), "outcome") == "lost"


def test_a_generator_is_closed_in_the_context_that_it_ran_in(traced, local, caplog):
    tracer = traced.tracer
    over = threading.Event()

    @local.register
    def f(ctx):
        try:
            with tracer.start_as_current_span("block"):
                yield (yield ctx.promise())
        finally:
            over.set()

    f.begin_run("id")
    until(lambda: list(local.promises.search_all(id_prefix="id.")))
    local.stop(0)
    assert over.wait(10)
    assert "different Context" not in caplog.text


def test_what_a_call_waited_in_the_server_is_a_span(traced, local):
    local.register(lambda ctx: 1, name="f")
    handle = local.begin_rpc("id", "f")
    time.sleep(0.05)
    local.start()
    assert handle.result(10) == 1
    waited, run = named(traced, "wait f"), named(traced, "execute f")
    assert leads_to(named(traced, "rpc f"), waited)
    assert waited.start_time == local.promises.get("id").created_on * 1_000_000
    assert waited.end_time - waited.start_time >= 40_000_000
    assert run.start_time >= waited.end_time - 1_000_000


def test_a_function_in_a_process_has_a_span(traced, local):
    local.register(crunching.fail, executor="process")
    with pytest.raises(ValueError, match="text"):
        local.run("id", "fail", "value")
    run = named(traced, "execute fail")
    assert leads_to(named(traced, "run fail"), run)
    assert run.status.description == "ValueError: text"


# --- several processes ----------------------------------------------------------------------------

WORKER = """
import json, os, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from resonate import Resonate, telemetry

def text(span):
    facts, parent = span.attributes, span.parent
    return "span " + json.dumps([
        span.name, f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}",
        parent and f"{parent.span_id:016x}", facts["resonate.promise.id"],
    ]) + "\\n"

url, group, dies = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=text)))
telemetry.instrument(provider)
resonate = Resonate.remote(url, group=group, ttl=1)

@resonate.register
def first(ctx):
    one = yield ctx.run(step, 1)
    two = yield ctx.rpc("second", 2)
    three = yield ctx.run(last, 3)
    return [one, two, three]

@resonate.register
def second(ctx, n):
    return n

def step(ctx, n):
    return n

def last(ctx, n):
    if dies == "dies":
        os._exit(1)
    return n

resonate.start()
print("started", flush=True)
import threading; threading.Event().wait()
"""


def spans_of(child):
    return [json.loads(line[5:]) for line in child.lines if line.startswith("span ")]


def test_a_call_is_one_trace_in_other_processes_and_after_recovery(
    traced, server, remote, children, group
):
    dying = children.spawn("dying", "-c", WORKER, server.url, group, "dies")
    dying.wait_for("started")
    handle = remote().begin_rpc(group, "first")
    assert dying.wait() == 1
    second = children.spawn("second", "-c", WORKER, server.url, group, "lives")
    assert handle.result(10) == [1, 2, 3]
    until(lambda: any(each[0] == "execute first" for each in spans_of(second)))
    call = named(traced, "rpc first")
    before, after = spans_of(dying), spans_of(second)
    assert {each[1] for each in before + after} == {f"{call.context.trace_id:032x}"}
    waits = [each for each in before if each[0].startswith("wait")]
    before = [each for each in before if each not in waits]
    assert [each[0] for each in waits] == ["wait first", "wait second"]
    assert [each[0] for each in before] == ["step step", "rpc second", "execute second"]
    assert [each[0] for each in after] == ["step last", "execute first"]
    (_, producer, consumer), (_, execute) = before, after
    assert [each[3] for each in waits] == [execute[3], producer[2]]
    assert consumer[3] == producer[2]
    assert execute[3] == f"{call.context.span_id:016x}"
    assert after[0][3] == execute[2]


# --- switched off ---------------------------------------------------------------------------------


def test_switched_off_there_are_no_spans_and_no_tags(traced, local):
    telemetry.uninstrument()
    local.register(lambda ctx: 1, name="f")
    assert local.run("id", "f") == 1
    assert names(traced) == []
    assert "traceparent" not in local.promises.get("id").tags


def test_without_a_configured_sdk_nothing_is_written(traced, local):
    telemetry.instrument(trace.NoOpTracerProvider())
    local.register(lambda ctx: 1, name="f")
    assert local.run("id", "f") == 1
    assert "traceparent" not in local.promises.get("id").tags


LAZY = "import sys, resonate.telemetry; assert 'opentelemetry' not in sys.modules"
MISSING = """
import sys, resonate.telemetry
sys.modules["opentelemetry"] = None
try:
    resonate.telemetry.instrument()
except ImportError:
    sys.exit(0)
sys.exit("no error")
"""


@pytest.mark.parametrize("code", [LAZY, MISSING])
def test_opentelemetry_is_imported_only_when_it_is_wanted(code):
    subprocess.run([sys.executable, "-c", code], check=True)
