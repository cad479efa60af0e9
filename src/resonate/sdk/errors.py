"""Every error that user code can meet, drawn here, one class per outcome.

::

    ResonateError
     ├── ResonateStoreError           the server refused a request, or cannot be reached
     ├── ResonateCanceledError        the promise was canceled
     ├── ResonateTimedoutError        the promise was not settled before its deadline
     │    └── NotStartedError         and no worker had even begun with it
     ├── ResonateShutdownError        this client was stopped while somebody waited
     ├── FunctionNotFoundError        no function of that name (also a ValueError)
     │    └── VersionNotFoundError    the name is known, this version of it is not
     ├── ArgumentsError               the arguments do not fit the function (also a TypeError)
     ├── EncodingError                a value cannot be written as JSON
     │    └── ValueTooLargeError      a value is larger than the server takes
     ├── DecodingError                a stored value cannot be read, or is not what was expected
     ├── LeaseLostError               this worker no longer holds the execution
     ├── ProcessDiedError             the process that ran the function died
     ├── DivergenceError              the code does something else than it did the first time
     └── RemoteError                  the function raised, elsewhere, an exception that has no
                                      counterpart here

A function that raised a built-in exception, one of these, or one that ``register_exception`` made
known, raises the same type at the caller, with a RemoteError, which has the traceback of the other
side, as its ``__cause__``.

Rule: an error keeps in ``args`` what it was made from, and makes its text in ``__str__``. So it can
be copied, pickled by whoever wants that, and made again on another machine.
"""

from __future__ import annotations

from typing import Any


class ResonateError(Exception):
    """Base class of all errors of this package."""


class ResonateStoreError(ResonateError):
    """The server refused a request, or cannot be reached.

    ``code`` is the status of the answer, 0 when there was none.
    What to do: read the message; 400 to 422 are mistakes of the caller, 0 and 503 pass.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class ResonateCanceledError(ResonateError):
    """The promise was canceled. ``promise_id`` names it.

    What to do: nothing, if that was meant; else call again with another id.
    """

    def __init__(self, promise_id: str) -> None:
        super().__init__(promise_id)
        self.promise_id = promise_id

    def __str__(self) -> str:
        return f"promise {self.promise_id} was canceled"


class ResonateTimedoutError(ResonateError):
    """The promise was not settled before its deadline.

    ``timeout`` is the deadline in seconds since the epoch. What to do: call again with another id,
    and a longer ``timeout`` if the work takes longer or no worker was there in time.
    """

    def __init__(self, promise_id: str, timeout: float) -> None:
        super().__init__(promise_id, timeout)
        self.promise_id = promise_id
        self.timeout = timeout

    def __str__(self) -> str:
        return f"promise {self.promise_id} was not settled before its deadline {self.timeout:.3f}"


class NotStartedError(ResonateTimedoutError):
    """The deadline passed before any worker had started with it, so nothing was done.

    ``function`` is the name of what was called, with the version unless that is 1; None where the
    call does not tell.

    What to do: see whether workers of the target group are up and know the function, and whether
    they keep up. Calling again, with another id, repeats nothing.
    """

    def __init__(self, promise_id: str, timeout: float, function: str | None = None) -> None:
        super().__init__(promise_id, timeout)
        self.args = (promise_id, timeout, function)
        self.function = function

    def __str__(self) -> str:
        called = f", a call of {self.function}" if self.function else ""
        return (
            f"no worker started with promise {self.promise_id}{called}, before its deadline"
            f" {self.timeout:.3f}"
        )


class ResonateShutdownError(ResonateError):
    """This client was stopped. The call itself goes on: ``get`` its id from another client."""


class FunctionNotFoundError(ResonateError, ValueError):
    """No function of that name is registered. ``name`` and ``version`` say what was asked for.

    What to do: register the function before the call, or call it by its name on a group whose
    workers know it. It is a ValueError, too.
    """

    def __init__(self, name: str, version: int = 0) -> None:
        super().__init__(name, version)
        self.name = name
        self.version = version

    def __str__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        return f"function {self.name}{version} not found in registry"


class VersionNotFoundError(FunctionNotFoundError):
    """The function is registered, this version of it is not. ``known`` lists those that are.

    What to do: let a worker that has this version run until its calls have ended.
    """

    def __init__(self, name: str, version: int, known: list[int] | None = None) -> None:
        known = sorted(known or [])
        ResonateError.__init__(self, name, version, known)
        self.name = name
        self.version = version
        self.known = known

    def __str__(self) -> str:
        known = f", which has {', '.join(map(str, self.known))}" if self.known else ""
        return f"{super().__str__()}{known}"


class ArgumentsError(ResonateError, TypeError):
    """The arguments do not fit the function. It was not called.

    ``function`` and ``signature`` say what is to be called, ``given`` with what it was called,
    ``problem`` what does not fit. What to do: mend the call, and make it with another id; or make
    the function take what was given, and the call succeeds when it is tried again.
    It is a TypeError, too.
    """

    def __init__(self, function: str, signature: str, given: str, problem: str) -> None:
        super().__init__(function, signature, given, problem)
        self.function = function
        self.signature = signature
        self.given = given
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.function}{self.signature} was called with {self.given}: {self.problem}"


class EncodingError(ResonateError):
    """A value cannot be written as JSON. The message has the place in it and its type.

    What to do: make of it what JSON has, or one of the types that the reference lists.
    """


class ValueTooLargeError(EncodingError):
    """A value is larger than may be sent. ``size`` and ``limit`` are bytes of its base64 text.

    What to do: store the data elsewhere and send where it is; or let an encoder compress it.
    """

    def __init__(self, where: str, size: int, limit: int) -> None:
        super().__init__(where, size, limit)
        self.where = where
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.where} has {self.size} bytes in base64, more than the {self.limit} allowed"


class DecodingError(ResonateError):
    """A stored value cannot be read, or is not what the annotation says.

    The message has the promise's id, the place in the value and what was expected there. What to
    do: see who wrote it; the encoders of both sides must agree, and so must their types.
    """


class LeaseLostError(ResonateError):
    """This worker no longer holds the execution: another one may have it by now.

    ``promise_id`` names it. Whatever the function still does is thrown away. What to do: let it
    pass; a function that catches it can only tidy up.
    """

    def __init__(self, promise_id: str) -> None:
        super().__init__(promise_id)
        self.promise_id = promise_id

    def __str__(self) -> str:
        return f"the lease of promise {self.promise_id} was lost: this execution no longer counts"


class ProcessDiedError(ResonateError):
    """The process that ran the function died before the function had ended.

    ``function`` names it, ``status`` is how the process exited; one below zero is the negative
    number of the signal that killed it: -9 when the system needed its memory, -11 when C code went
    wrong. What to do: see what the function does; a retry policy has it tried again.
    """

    def __init__(self, function: str, status: int) -> None:
        super().__init__(function, status)
        self.function = function
        self.status = status

    def __str__(self) -> str:
        how = f"of signal {-self.status}" if self.status < 0 else f"with status {self.status}"
        return f"the process that ran {self.function} died {how}"


class DivergenceError(ResonateError):
    """The code asks for another step than the one that is recorded at this place.

    ``promise_id`` names the execution, ``step`` the id of the step, ``recorded`` and ``asked`` say
    what was done then and what is asked for now. What to do: a function must take the same steps
    each time it runs; bring back the code that began this execution, or register the changed one
    as a new version.
    """

    def __init__(self, promise_id: str, step: Any, recorded: str, asked: str) -> None:
        super().__init__(promise_id, step, recorded, asked)
        self.promise_id = promise_id
        self.step = step
        self.recorded = recorded
        self.asked = asked

    def __str__(self) -> str:
        return (
            f"the code of {self.promise_id} does not match its history: step {self.step} is"
            f" recorded as `{self.recorded}`, and the code asks for `{self.asked}`"
        )


class RemoteError(ResonateError):
    """The function raised elsewhere.

    ``type`` is the name of the exception's class, ``module`` where that is defined, ``message`` its
    text, ``traceback`` the formatted traceback of the other side; those that the other side did not
    send are None. What to do: what the function's own error asks for; ``register_exception`` in
    both processes makes it arrive as its own type.
    """

    def __init__(
        self,
        type: str,  # noqa: A002
        message: str,
        traceback: str | None = None,
        module: str | None = None,
    ) -> None:
        super().__init__(type, message, traceback, module)
        self.type = type
        self.message = message
        self.traceback = traceback
        self.module = module

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def cause(self) -> BaseException | None:
        """Return what led to it on the other side: a RemoteError, or an exception made again."""
        return self.__cause__

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes that were added to the exception."""
        return tuple(getattr(self, "__notes__", ()))
