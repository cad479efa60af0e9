"""Resonate for Python: call a function by id on any live member of a group, once, through crashes.

::

    from resonate import Resonate

    resonate = Resonate.remote(group="worker-group")

    @resonate.register
    def greet(ctx, name):
        return f"hello {name}"

    resonate.start()
"""

from __future__ import annotations

from resonate.sdk.async_function import AsyncFunction
from resonate.sdk.async_handle import AsyncHandle
from resonate.sdk.async_resonate import AsyncResonate
from resonate.sdk.context import Context
from resonate.sdk.function import Function
from resonate.sdk.handle import Handle
from resonate.sdk.operations import Operation, Promise
from resonate.sdk.resonate import Resonate

__all__ = [
    "AsyncFunction",
    "AsyncHandle",
    "AsyncResonate",
    "Context",
    "Function",
    "Handle",
    "Operation",
    "Promise",
    "Resonate",
]
