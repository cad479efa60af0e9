"""Every error that user code can meet, drawn here.

::

    ResonateError
     ├── ResonateStoreError        the server refused a request, or cannot be reached
     ├── ResonateCanceledError     the promise was canceled
     ├── ResonateTimedoutError     the promise was not settled before its deadline
     ├── ResonateShutdownError     this client was stopped while somebody waited
     ├── EncodingError             a value cannot be written as JSON
     ├── DecodingError             a stored value cannot be read
     └── RemoteError               the function raised, elsewhere, an exception that has no
                                   counterpart here

A function that raised a built-in exception raises the same type at the caller, with a RemoteError,
which has the traceback of the other side, as its ``__cause__``.
"""

from __future__ import annotations


class ResonateError(Exception):
    """Base class of all errors of this package."""


class ResonateStoreError(ResonateError):
    """The server refused a request, or cannot be reached.

    ``code`` is the status of the answer, 0 when there was none.
    What to do: read the message; 400 to 422 are mistakes of the caller, 0 and 503 pass.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ResonateCanceledError(ResonateError):
    """The promise was canceled. ``promise_id`` names it."""

    def __init__(self, promise_id: str) -> None:
        super().__init__(f"promise {promise_id} was canceled")
        self.promise_id = promise_id


class ResonateTimedoutError(ResonateError):
    """The promise was not settled before its deadline.

    ``timeout`` is the deadline in seconds since the epoch. What to do: call again with another id,
    and a longer ``timeout`` if the work takes longer or no worker was there in time.
    """

    def __init__(self, promise_id: str, timeout: float) -> None:
        super().__init__(f"promise {promise_id} was not settled before its deadline {timeout:.3f}")
        self.promise_id = promise_id
        self.timeout = timeout


class ResonateShutdownError(ResonateError):
    """This client was stopped. The call itself goes on: ``get`` its id from another client."""


class EncodingError(ResonateError):
    """A value cannot be written as JSON. The message has the place in it and its type."""


class DecodingError(ResonateError):
    """A stored value cannot be read. The message has the promise's id."""


class RemoteError(ResonateError):
    """The function raised elsewhere.

    ``type`` is the name of the exception's class, ``message`` its text, ``traceback`` the formatted
    traceback of the other side, None when that side did not send one.
    """

    def __init__(self, type: str, message: str, traceback: str | None = None) -> None:  # noqa: A002
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message
        self.traceback = traceback
