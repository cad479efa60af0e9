"""Spans of OpenTelemetry for this process; see ``resonate.sdk.telemetry``."""

from __future__ import annotations

from resonate.sdk.telemetry import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]
