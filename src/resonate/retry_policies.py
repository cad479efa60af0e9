"""Whether a function that raised is tried again, and when; see ``resonate.sdk.retries``."""

from __future__ import annotations

from resonate.sdk.retries import Constant, Exponential, Linear, Never, RetryPolicy

__all__ = ["Constant", "Exponential", "Linear", "Never", "RetryPolicy"]
