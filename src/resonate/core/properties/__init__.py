"""Properties: what is true of every state and of every step, under the specification's names.

- ``STATE_PROPERTIES`` hold in every state, those in ``STRICT_PROPERTIES`` in strict mode only;
  ``STEP_PROPERTIES`` hold of every pair of states around one step (one handler or one internal
  step, not one commit); ``INTERNAL_PROPERTIES`` hold besides of a step that the server takes by
  itself. ``RECORD_PROPERTIES`` are of what is told, ``CONFIG_PROPERTIES`` of the limits.
- A property returns True where it holds. ``check_state`` and its like raise AssertionError with the
  name of the first that does not.
- There is no outbox; what the specification says of it is said of the messages that the objects
  are (``messages``, ``outbox``).
- Deleting what nobody has to hear of (retention) is no step of the protocol and breaks those of
  these properties that say that nothing vanishes.

Tests run them over the states they reach. A new field or transition needs its properties here, and
``tests/core/test_properties_bite.py`` an example that each of them refuses.
Source: protocol 2026-04-01, section 9.2.
"""

from __future__ import annotations

from resonate.core.properties import (  # they fill the registries
    coupling,
    internal,
    outbox,
    promise_steps,
    promises,
    records,
    schedules,
    task_steps,
    tasks,
)
from resonate.core.properties.checks import (
    INTERNAL_PROPERTIES,
    STATE_PROPERTIES,
    STEP_PROPERTIES,
    STRICT_PROPERTIES,
    Snapshot,
    StepTaken,
    check_state,
    check_step,
)
from resonate.core.properties.records import (
    CONFIG_PROPERTIES,
    RECORD_PROPERTIES,
    check_config,
    check_promise_record,
    check_task_record,
)

__all__ = [
    "CONFIG_PROPERTIES",
    "INTERNAL_PROPERTIES",
    "RECORD_PROPERTIES",
    "STATE_PROPERTIES",
    "STEP_PROPERTIES",
    "STRICT_PROPERTIES",
    "Snapshot",
    "StepTaken",
    "check_config",
    "check_promise_record",
    "check_state",
    "check_step",
    "check_task_record",
    "coupling",
    "internal",
    "outbox",
    "promise_steps",
    "promises",
    "records",
    "schedules",
    "task_steps",
    "tasks",
]
