"""Operations: what the methods of a context return, and how their values are had.

``yield operation`` in a generator, ``await operation`` in a coroutine, ``operation.result()`` in a
plain function. Nothing happens before that; but its id is given out when it is made, so the order
in which a function makes operations is what has to be the same in a replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from resonate.protocol.records import EMPTY, Value
from resonate.protocol.validation import EXTERNAL, ORIGIN, TIMER
from resonate.sdk import codec
from resonate.sdk.encoders import Encoder
from resonate.sdk.options import YEAR_SECONDS, checked_options, deadline
from resonate.sdk.retries import resolve
from resonate.sdk.retry_tags import check_travels, policy_tag
from resonate.sdk.signatures import return_type
from resonate.sdk.steps import ATTEMPT, DETACHED, PLACE, STEP, Call, Plan, Step, local_tags
from resonate.sdk.tags import call_tags, tree_tags

if TYPE_CHECKING:
    from resonate.sdk.attempt import Attempt

T = TypeVar("T")


class Request(Struct, frozen=True):
    """What an operation asks for. ``handle``: its value is the promise, not the result."""

    kind: str  # run, rpc, detached, sleep or promise
    name: str = ""
    func: Callable[..., Any] | None = None
    version: int = 1
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # msgspec copies it
    data: Any = None
    handle: bool = False
    typed_by: Callable[..., Any] | None = None  # its annotation says what the value is


class OperationOptions(Struct, frozen=True):
    """Options of one operation; see ``Context``."""

    id: str | None = None
    timeout: float | None = None
    tags: dict[str, str] | None = None
    target: str | None = None
    version: int | None = None
    retry_policy: Any = None
    encoder: Any = None
    non_retryable_exceptions: tuple[type[BaseException], ...] = ()


class Promise(Generic[T]):
    """A child of a function: a durable promise that it may wait for.

    Get its value by ``yield promise``, ``await promise`` or ``promise.result()``; what it was
    rejected with is raised. Like a task of asyncio, it is canceled when the await of it is; one of
    a detached call is not, and ``asyncio.shield`` protects any.
    """

    def __init__(
        self,
        attempt: Attempt,
        step: Step,
        typed_by: Callable[..., Any] | None,
        encoder: Encoder | None,
    ) -> None:
        self._attempt = attempt
        self._step = step
        self._typed_by = typed_by
        self._encoder = encoder

    def __repr__(self) -> str:
        return f"Promise(id={self.id!r})"

    @property
    def id(self) -> str:
        """Return the id of the promise."""
        return self._step.id

    def done(self) -> bool:
        """Tell whether it is known here to have ended, with a value or an error; does not wait.

        May differ in a replay, so it must not decide what the function asks for next. Raises
        nothing.
        """
        if not self._step.settled:
            self._attempt.workflow.wonder(self._step)
        return self._step.settled

    def result(self, timeout: float | None = None) -> T:
        """Wait on this thread and return the value; raises what the promise was rejected with.

        ``timeout`` is in seconds; when it passes, TimeoutError is raised and ``result`` may be
        called again. None, the default, waits for ever, and so does infinity; zero and less do not
        wait.

        What it was rejected with is raised as by ``Handle.result``: the function's own exception,
        or RemoteError; ResonateCanceledError, ResonateTimedoutError (NotStartedError), and
        DecodingError.

        Raises LeaseLostError when nothing that the function still does counts, RuntimeError once
        the function has returned, and in an ``async def`` function unless the promise is ``done``:
        use ``await`` there. TypeError and ValueError for a ``timeout`` that is no number.
        """
        self._attempt.must_count()
        self._attempt.block(self._step, timeout)
        return self.value()

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        self._attempt.must_count()
        try:
            await self._attempt.settled(self._step)
        except asyncio.CancelledError:
            if self._step.plan.attached:
                self._attempt.abandon(self._step)
            raise
        return self.value()

    def value(self) -> T:
        """Not for users: return the value of a promise that is settled, or raise its error."""
        assert self._step.record is not None, "it is settled"
        kind = Any if self._typed_by is None else return_type(self._typed_by)
        value: T = codec.outcome(self._step.record, encoder=self._encoder, type=kind)
        return value

    def yielded(self, attempt: Attempt) -> Step:
        """Not for users: say what a generator waits for that yielded this."""
        attempt.must_count()
        if self._attempt.workflow is not attempt.workflow:
            raise ValueError(f"promise {self.id} belongs to another execution")
        return self._step


class Operation(Generic[T]):
    """Something that a function asks for: ``yield``, ``await`` or ``result()`` carries it out."""

    def __init__(
        self,
        attempt: Attempt,
        number: str,
        request: Request,
        options: OperationOptions,
    ) -> None:
        self._attempt = attempt
        self._number = number
        self._request = request
        self._options = options
        self._step: Step | None = None

    def __repr__(self) -> str:
        request = self._request
        return f"Operation({' '.join(filter(None, (request.kind, request.name)))}, id={self.id!r})"

    @property
    def id(self) -> str:
        """Return the id of the promise that it is going to make."""
        return self._options.id or self._number

    def options(
        self,
        *,
        id: str | None = None,
        timeout: float | None = None,
        tags: dict[str, str] | None = None,
        target: str | None = None,
        version: int | None = None,
        retry_policy: Any = None,
        encoder: Any = None,
        non_retryable_exceptions: tuple[type[BaseException], ...] | None = None,
    ) -> Operation[T]:
        """Return the same operation with other options; None keeps the present value.

        - ``id``: of the promise, in place of the one by call order.
        - ``timeout``: seconds until its deadline, one year by default; never later than that of the
          function that waits for it.
        - ``tags``: stored with the promise, texts by name; none by default.
        - ``target``: group or address, for rpc and detached; by default the own group.
        - ``version``: of the function, for rpc and detached; 0, the default, is that of a function
          object, and of a name the highest that is registered here, else 1.
        - ``retry_policy``: for run; for rpc and detached one of ``resonate.retry_policies``. By
          default that of ``register``, else never.
        - ``non_retryable_exceptions``: for run, a tuple of classes; by default that of
          ``register``.
        - ``encoder``: of the value; by default the client's.

        Raises TypeError for an option that the operation does not take: sleep takes ``id`` and
        ``tags``, promise ``timeout`` and ``encoder``, too. Raises TypeError and ValueError with the
        name of a wrong one, TypeError for a ``retry_policy`` of your own in rpc and detached,
        RuntimeError when the operation was carried out before.
        """
        given = checked_options(
            id=id,
            timeout=timeout,
            tags=tags,
            target=target,
            version=version,
            retry_policy=retry_policy,
            encoder=encoder,
            non_retryable_exceptions=non_retryable_exceptions,
        )
        _check_kind_takes(self._request.kind, given)
        if self._request.kind in ("rpc", "detached"):
            check_travels(retry_policy)
        if self._step is not None:
            raise RuntimeError(f"operation {self.id} has begun: give its options before")
        return Operation(
            self._attempt, self._number, self._request, replace(self._options, **given)
        )

    def result(self, timeout: float | None = None) -> T:
        """Carry it out, wait on this thread and return its value; raises its error.

        ``timeout`` is in seconds; when it passes, TimeoutError is raised and ``result`` may be
        called again. None, the default, waits for ever, and so does infinity; zero and less do not
        wait. Where the value is a Promise, it is there at once, and ``timeout`` is not looked at.

        Its error is raised as by ``Handle.result``: the function's own exception, or RemoteError;
        ResonateCanceledError, ResonateTimedoutError (NotStartedError), DecodingError. Raises
        EncodingError, and ValueTooLargeError, for arguments or data that cannot be written.

        Raises LeaseLostError when nothing that the function still does counts, DivergenceError when
        another operation is recorded at this place, RuntimeError in an ``async def`` function (use
        ``await`` there) and, if it was not carried out before, once the function has returned.
        TypeError and ValueError for a ``timeout`` that is no number.
        """
        self._attempt.may_block()
        step = self._begin()
        if not self._request.handle:
            self._attempt.block(step, timeout)
        return self.value()

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        step = self._begin()
        if not self._request.handle:
            try:
                await self._attempt.settled(step)
            except asyncio.CancelledError:
                self._attempt.abandon(step)
                raise
        return self.value()

    def value(self) -> T:
        """Not for users: return the value of what was carried out, or raise its error."""
        assert self._step is not None, "it was carried out"
        promise: Promise[Any] = Promise(
            self._attempt, self._step, self._request.typed_by, self._encoder
        )
        value: T = promise if self._request.handle else promise.value()  # type: ignore[assignment]
        return value

    def yielded(self, attempt: Attempt) -> Any:
        """Not for users: carry it out for a generator that yielded this.

        Returns the step to wait for, or a value. Raises what the body is to be told.
        """
        if self._attempt is not attempt:
            raise ValueError(f"operation {self.id} belongs to another execution")
        step = self._begin()
        return self.value() if self._request.handle else step

    def _begin(self) -> Step:
        if self._step is None:
            self._step = self._attempt.begin(self)
        return self._step

    # --- what is written --------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Not for users: return the promise to make.

        Raises EncodingError for arguments that cannot be written.
        """
        request, options = self._request, self._options
        timeout_at = self._deadline()
        origin, frame = self._origin(), self._attempt.frame
        label = f"{request.kind} {request.name}" if request.name else request.kind
        own = {**(options.tags or {}), **self._place()}
        if request.kind in ("rpc", "detached"):
            group = self._attempt.workflow.host.group
            version = options.version or request.version
            tags = tree_tags(origin, self.id, frame.id)
            tags |= call_tags(options.target, group, request.name, version)
            tags[STEP] = label
            if request.kind == "detached":
                tags[DETACHED] = "true"
            param = codec.encode_call(
                request.name,
                version,
                request.args,
                request.kwargs,
                encoder=self._encoder,
                limit=codec.LIMIT,
            )
            if options.retry_policy is not None:
                own = own | policy_tag(options.retry_policy)
            return Plan(
                request.kind,
                request.name,
                param,
                own | tags,
                timeout_at,
                attached=request.kind == "rpc",
                version=version,
            )
        tags = local_tags(origin, frame.workflow.id, frame.id, label)
        if request.kind == "sleep":
            tags[TIMER] = "true"
        elif request.kind == "promise":
            tags[EXTERNAL] = "true"
            return Plan("promise", "", self._data(), own | tags, timeout_at)
        call = None if request.func is None else self._call(request.func)
        return Plan(request.kind, request.name, EMPTY, own | tags, timeout_at, call)

    def _place(self) -> dict[str, str]:
        """Return what tells a replay which step it is."""
        attempt = self._attempt.number
        tags = {} if self._options.id is None else {PLACE: self._number}
        return tags if attempt == 1 else {**tags, ATTEMPT: str(attempt)}

    def _data(self) -> Value:
        return codec.encode(self._request.data, "data", encoder=self._encoder, limit=codec.LIMIT)

    def _call(self, func: Callable[..., Any]) -> Call:
        request, options = self._request, self._options
        entry = self._attempt.workflow.host.registry.of(func)
        policy = None if entry is None else entry.retry_policy
        if options.retry_policy is not None:
            policy = resolve(options.retry_policy, func)
        spared = options.non_retryable_exceptions or (entry.non_retryable if entry else ())
        version = request.version if entry is None else entry.version
        return Call(
            func,
            request.args,
            request.kwargs,
            version,
            policy,
            spared,
            self._encoder,
            process=entry is not None and entry.process,
        )

    @property
    def _encoder(self) -> Encoder | None:
        return self._options.encoder or self._attempt.workflow.host.encoder

    def _origin(self) -> str:
        promise = self._attempt.workflow.promise
        return promise.tags.get(ORIGIN, promise.id)

    def _deadline(self) -> int:
        timeout = YEAR_SECONDS if self._options.timeout is None else self._options.timeout
        at = deadline(timeout, self._attempt.workflow.host.machine.time())
        if self._request.kind == "detached":
            return at
        return min(at, self._attempt.frame.timeout_at)


_COMMON = ("id", "tags")
_TAKES = {
    "run": (*_COMMON, "timeout", "retry_policy", "encoder", "non_retryable_exceptions"),
    "rpc": (*_COMMON, "timeout", "target", "version", "retry_policy", "encoder"),
    "detached": (*_COMMON, "timeout", "target", "version", "retry_policy", "encoder"),
    "promise": (*_COMMON, "timeout", "encoder"),
    "sleep": _COMMON,
}


def _check_kind_takes(kind: str, given: dict[str, Any]) -> None:
    """Raise TypeError for an option that this operation would not heed."""
    for name in given:
        if name not in _TAKES[kind]:
            raise TypeError(f"{kind} takes no {name}: its options are {', '.join(_TAKES[kind])}")


class Ready(Generic[T]):
    """An operation whose value is known without a promise, the same in every replay."""

    def __init__(self, number: str, value: T) -> None:
        self._number = number
        self._value = value

    def __repr__(self) -> str:
        return f"Ready(id={self.id!r})"

    @property
    def id(self) -> str:
        """Return the number it has taken."""
        return self._number

    def result(self) -> T:
        """Return the value."""
        return self._value

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        return self._value

    def value(self) -> T:
        """Return the value."""
        return self._value

    def yielded(self, attempt: Attempt) -> T:
        """Return the value for a generator that yielded this."""
        attempt.must_count()
        return self._value
