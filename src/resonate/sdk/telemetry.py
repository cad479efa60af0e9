"""Spans of OpenTelemetry: which call led to which execution, across processes and crashes.

``instrument`` switches them on for this process. Until then ``active`` is None, nothing here is
called, and OpenTelemetry is neither needed nor imported.

================  ========  ========================================================================
``run f``         producer  a call by ``run`` or ``begin_run``, until it is durable
``rpc f``         client    a call by ``rpc``, until it is settled
``rpc f``         producer  a call by ``begin_rpc`` or ``ctx.rpc``, until it is durable
``detached f``    producer  the same by ``ctx.detached``
``execute f``     consumer  a run of a registered function
``step f``        internal  a run of a function of ``ctx.run``
================  ========  ========================================================================

Rules:
- The context travels in the tags ``traceparent`` and ``tracestate`` of the promise, as W3C names
  and writes them. The server keeps them and knows nothing of them.
- A call that a replay finds recorded has no span: the first one had it. Whether it is recorded may
  be known only when the server has answered, so a span is begun with each, and ended if it is new.
- A run of a function is from its top to its end, or to where it leaves the memory of this process.
  A retry, and a replay, is another one.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from resonate.protocol import requests as rq
from resonate.protocol.records import PromiseRecord
from resonate.sdk.sender import Item
from resonate.sdk.steps import Plan, Step

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context

    from resonate.sdk.attempt import Attempt

T = TypeVar("T")
_CALLS = ("rpc", "detached")
_TRACEPARENT = "traceparent"
active: Tracing | None = None


def instrument(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Have this process make spans of calls and executions.

    ``tracer_provider`` is that of OpenTelemetry's SDK, by default the global one. Calls and
    executions that have begun before have none. Raises ImportError without OpenTelemetry:
    ``pip install resonate-py[otel]``.
    """
    global active  # noqa: PLW0603  # the one switch
    active = Tracing(tracer_provider)


def uninstrument() -> None:
    """Make no new spans; those that have begun end as they would have."""
    global active  # noqa: PLW0603  # the one switch
    active = None


class Span:
    """A span that ends once, by whatever comes first. From any thread."""

    def __init__(self, tracing: Tracing, span: trace.Span) -> None:
        self.span = span
        self._tracing = tracing
        self._over = threading.Lock()

    @property
    def context(self) -> Context:
        """Return the context of what it leads to."""
        found: Context = self._tracing.trace.set_span_in_context(self.span, self._tracing.nothing)
        return found

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        """End it, unless it has ended."""
        if not self._over.acquire(blocking=False):
            return
        self.span.set_attribute("resonate.outcome", outcome)
        if error is not None:
            self._record(error)
        self.span.end()

    def _record(self, error: BaseException) -> None:
        text = _text(error)
        self.span.set_status(self._tracing.trace.StatusCode.ERROR, text)
        try:
            self.span.record_exception(error)
        except BaseException:  # noqa: BLE001  # user code: its __str__ may raise anything
            self.span.add_event("exception", {"exception.type": text})


class CallSpan(Span):
    """A call, from its beginning until it is durable, or settled. ``tags`` are what it wrote."""

    def __init__(self, tracing: Tracing, span: trace.Span, tags: dict[str, str]) -> None:
        super().__init__(tracing, span)
        self._tags = tags

    def until_durable(self, asked: Future[Item]) -> None:
        """End it when the promise is there."""
        asked.add_done_callback(self._durable)

    def until_settled(self, asked: Future[Item], settled: Future[PromiseRecord]) -> None:
        """End it when the promise is settled, or the call has failed."""
        asked.add_done_callback(self._made)
        settled.add_done_callback(self._settled)

    def _failed(self, asked: Future[Item]) -> bool:
        error = asked.exception()
        if error is not None:
            self.end("failed", error)
        elif asked.result().answers[0].status not in (200, 300, 409):
            answer = asked.result().answers[0]
            self.end("failed", RuntimeError(f"{answer.status} {answer.data}"))
        return error is not None

    def _durable(self, asked: Future[Item]) -> None:
        if not self._failed(asked):
            self.end("joined" if self._link(asked) else "begun")

    def _made(self, asked: Future[Item]) -> None:
        if not self._failed(asked):
            self._link(asked)

    def _link(self, asked: Future[Item]) -> bool:
        """Link to the call that made the promise, if it is another one; tell whether it is."""
        answer = asked.result().answers[0]
        tags = answer.data.promise.tags if answer.status == 200 else {}
        joined = tags.get(_TRACEPARENT) != self._tags.get(_TRACEPARENT)
        if joined:
            self.span.add_link(self._tracing.span_context(tags))
        return joined

    def _settled(self, settled: Future[PromiseRecord]) -> None:
        error = settled.exception()
        self.end("failed" if error is not None else settled.result().state, error)


class RunSpan(Span):
    """A run of a function. What its body does, it does with this span as the current one."""

    def __init__(self, tracing: Tracing, span: trace.Span, attempt: Attempt) -> None:
        super().__init__(tracing, span)
        self._attempt = attempt
        self._calls: list[tuple[Step, Span]] = []
        self._variables = contextvars.copy_context()
        self._variables.run(self.enter)

    def enter(self) -> None:
        """Be the current span of the asyncio task that runs."""
        self._tracing.attach(self.context)

    def within(self, act: Callable[..., T], *args: Any) -> T:
        """Call a part of the body, always in the same context, whichever thread it is."""
        return self._variables.run(act, *args)

    def call(self, step_id: str, plan: Plan) -> Span | None:
        """Begin the span of a call of the body, if it is one and not known to be recorded."""
        if plan.kind not in _CALLS or self._attempt.workflow.recorded(step_id):
            return None
        tracing, info = self._tracing, self._attempt.context.info
        host = self._attempt.workflow.host
        current = tracing.trace.get_current_span()
        span = tracing.tracer.start_span(
            f"{plan.kind} {plan.name}",
            None if current.get_span_context().is_valid else self.context,
            tracing.trace.SpanKind.PRODUCER,
            {
                "resonate.promise.id": step_id,
                "resonate.function": plan.name,
                "resonate.function.version": plan.version,
                "resonate.worker.pid": host.pid,
                "resonate.group": host.group,
                "resonate.caller.id": info.id,
            },
        )
        tracing.inject(span, plan.tags)
        return Span(tracing, span)

    def called(self, step: Step, span: Span) -> None:
        """End the span of a call once it is known to be new; forget it if it is not."""
        self._calls.append((step, span))
        self.sort_out()

    def sort_out(self) -> None:
        """Something is known of the steps that the body has asked for."""
        with self._attempt.workflow.lock:
            known = [each for each in self._calls if each[0].old is not None]
            self._calls = [each for each in self._calls if each[0].old is None]
        for step, span in known:
            if not step.old:
                span.end("begun")


class Tracing:
    """Makes spans."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415  # only where it is wanted
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415  # the same

        self.trace = trace
        self.tracer = trace.get_tracer("resonate", tracer_provider=provider)
        self.nothing = context.Context()
        self.attach = context.attach
        self._propagator = tracecontext.TraceContextTextMapPropagator()

    def inject(self, span: trace.Span, tags: dict[str, str]) -> None:
        """Write into tags that the span leads to what they belong to."""
        self._propagator.inject(tags, self.trace.set_span_in_context(span, self.nothing))

    def span_context(self, tags: dict[str, str]) -> trace.SpanContext:
        """Return what tags say that a promise belongs to; not valid when they say nothing."""
        found = self._propagator.extract(tags, self.nothing)
        return self.trace.get_current_span(found).get_span_context()

    def call(
        self, kind: str, name: str, version: int, data: rq.PromiseCreateData, *, waits: bool = False
    ) -> CallSpan:
        """Begin the span of a call from outside of functions, and write it into the tags."""
        kinds = self.trace.SpanKind
        span = self.tracer.start_span(
            f"{kind} {name}",
            kind=kinds.CLIENT if waits else kinds.PRODUCER,
            attributes={
                "resonate.promise.id": data.id,
                "resonate.function": name,
                "resonate.function.version": version,
            },
        )
        assert data.tags is not None, "a call has tags"
        self.inject(span, data.tags)
        return CallSpan(self, span, dict(data.tags))

    def run(self, attempt: Attempt) -> RunSpan:
        """Begin the span of a run of a function."""
        frame, host, info = attempt.frame, attempt.workflow.host, attempt.context.info
        entry = host.registry.of(frame.call.func)
        name = entry.name if entry is not None else frame.call.func.__qualname__
        kinds = self.trace.SpanKind
        top = frame.parent is None
        span = self.tracer.start_span(
            f"{'execute' if top else 'step'} {name}",
            self._parent(attempt),
            kinds.CONSUMER if top else kinds.INTERNAL,
            {
                "resonate.promise.id": info.id,
                "resonate.function": name,
                "resonate.function.version": info.version,
                "resonate.attempt": info.attempt,
                "resonate.worker.pid": host.pid,
                "resonate.group": host.group,
            },
        )
        if top and attempt.first:
            self._wait(attempt, name)
        return RunSpan(self, span, attempt)

    def _wait(self, attempt: Attempt, name: str) -> None:
        """Make the span of the time that a call waited in the server; by the clocks of both."""
        promise = attempt.workflow.promise
        now = int(attempt.workflow.host.machine.time() * 1000)
        span = self.tracer.start_span(
            f"wait {name}",
            self._parent(attempt),
            attributes={"resonate.promise.id": promise.id, "resonate.function": name},
            start_time=min(promise.created_at, now) * 1_000_000,
        )
        span.end(now * 1_000_000)

    def _parent(self, attempt: Attempt) -> Context:
        parent = attempt.frame.parent
        if parent is not None and parent.span is not None:
            return parent.span.context
        return self._propagator.extract(attempt.workflow.promise.tags, self.nothing)


def _text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001  # user code: the same
        return type(error).__name__
