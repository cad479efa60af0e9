"""The errors that user code can meet; see ``resonate.sdk.errors`` for what to do about each.

``register_exception`` makes an exception of yours arrive as itself.
"""

from __future__ import annotations

from resonate.sdk.errors import (
    ArgumentsError,
    DecodingError,
    DivergenceError,
    EncodingError,
    FunctionNotFoundError,
    LeaseLostError,
    NotStartedError,
    ProcessDiedError,
    RemoteError,
    ResonateCanceledError,
    ResonateError,
    ResonateShutdownError,
    ResonateStoreError,
    ResonateTimedoutError,
    ValueTooLargeError,
    VersionNotFoundError,
)
from resonate.sdk.exception_types import register_exception

__all__ = [
    "ArgumentsError",
    "DecodingError",
    "DivergenceError",
    "EncodingError",
    "FunctionNotFoundError",
    "LeaseLostError",
    "NotStartedError",
    "ProcessDiedError",
    "RemoteError",
    "ResonateCanceledError",
    "ResonateError",
    "ResonateShutdownError",
    "ResonateStoreError",
    "ResonateTimedoutError",
    "ValueTooLargeError",
    "VersionNotFoundError",
    "register_exception",
]
