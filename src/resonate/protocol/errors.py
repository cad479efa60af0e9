"""The one error tree of the server side, drawn here.

::

    ServerError
     ├── Unavailable      503: nothing was committed, the same request may be sent again
     │    └── Overloaded  503: too many requests are waiting
     └── StartError       the server cannot start; one clear sentence says why
"""

from __future__ import annotations


class ServerError(Exception):
    """Base class; ``status`` is the HTTP status that answers a request which met it."""

    status = 500
    prefix = "Internal error"

    def text(self) -> str:
        """Return the text of the answer."""
        return f"{self.prefix}: {self}"


class Unavailable(ServerError):
    """The storage or the server cannot serve now; nothing of the request was committed."""

    status = 503
    prefix = "Service unavailable"


class Overloaded(Unavailable):
    """More requests are waiting than the limit allows."""


class StartError(ServerError):
    """The server cannot start."""


def told_as(error: Exception) -> ServerError:
    """Return the error that a client is told of."""
    if isinstance(error, ServerError):
        return error
    return ServerError(f"{type(error).__name__}: {error}")
