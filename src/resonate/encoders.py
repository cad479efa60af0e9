"""What may be done to values before they leave this process; see ``resonate.sdk.encoders``."""

from __future__ import annotations

from resonate.sdk.encoders import Chain, Compression, Encoder

__all__ = ["Chain", "Compression", "Encoder"]
