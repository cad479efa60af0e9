"""The errors that user code can meet; see ``resonate.sdk.errors`` for what to do about each."""

from __future__ import annotations

from resonate.sdk.errors import (
    DecodingError,
    EncodingError,
    RemoteError,
    ResonateCanceledError,
    ResonateError,
    ResonateShutdownError,
    ResonateStoreError,
    ResonateTimedoutError,
)

__all__ = [
    "DecodingError",
    "EncodingError",
    "RemoteError",
    "ResonateCanceledError",
    "ResonateError",
    "ResonateShutdownError",
    "ResonateStoreError",
    "ResonateTimedoutError",
]
