"""Properties: what is true of every state and of every step, under the specification's names.

- ``STATE_PROPERTIES`` hold in every state; ``STEP_PROPERTIES`` hold of every pair of states around
  one step (one handler or one internal step, not one commit); ``INTERNAL_PROPERTIES`` hold besides
  of a step that the server takes by itself.
- A property returns True where it holds. ``check_state`` and ``check_step`` raise AssertionError
  with the name of the first that does not.
- Left out: what speaks of schedules, of strict mode, or of an outbox. There is no outbox: a pending
  task whose ``retry_at`` is due is its execute message, a settled promise that still has a listener
  is its unblock message.

Tests run them over the states they reach. A new field or transition needs its properties here, and
``tests/core/test_properties_bite.py`` an example that each of them refuses.
Source: protocol 2026-04-01, section 9.2.
"""

from __future__ import annotations

from resonate.core.properties import promise_steps, task_steps  # they fill the registries
from resonate.core.properties.state import STATE_PROPERTIES, check_state
from resonate.core.properties.step import INTERNAL_PROPERTIES, STEP_PROPERTIES, check_step

__all__ = [
    "INTERNAL_PROPERTIES",
    "STATE_PROPERTIES",
    "STEP_PROPERTIES",
    "check_state",
    "check_step",
    "promise_steps",
    "task_steps",
]
