"""What is true: the state machine of durable promises and their tasks, pure.

No I/O, no clock, no randomness. ``machine.handle`` answers a request, ``steps`` holds what the
server does by itself. Time is an argument. Source: protocol 2026-04-01, section 3.
"""

from __future__ import annotations
