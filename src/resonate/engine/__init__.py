"""When it happens: batches, timers, dispatch, presence. One engine runs on one event loop.

``engine.Engine`` is the whole of it; the other modules are its parts and know nothing of each
other beyond what their constructors are given.
"""

from __future__ import annotations
