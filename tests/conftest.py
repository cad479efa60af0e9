"""Test functions may be ``async def``: each runs on an event loop of its own.

An exception that nobody waits for (in a callback, or in a task that was left alone) fails the test.

Whoever starts the tests in the background of a script has SIGINT ignored, and child processes inherit
that; it is undone here, because tests send the signal to theirs.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
