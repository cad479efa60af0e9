"""Test functions may be ``async def``: each runs on an event loop of its own.

An exception that nobody waits for (in a callback, or in a task that was left alone) fails the test.
"""

from __future__ import annotations

import asyncio
import gc
import inspect

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    lost = asyncio.run(_collecting(function(**arguments)))
    assert not lost, lost
    return True


async def _collecting(coroutine):
    """Run the test; return what the loop was told of exceptions that nobody waited for."""
    lost = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    await coroutine
    await asyncio.sleep(0)
    gc.collect(0)
    return lost
