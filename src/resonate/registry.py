"""The functions of several clients; see ``resonate.sdk.registry``."""

from __future__ import annotations

from resonate.sdk.registry import Registry

__all__ = ["Registry"]
