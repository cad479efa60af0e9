"""Properties of the steps that the server takes by itself."""

from __future__ import annotations

from resonate.core.properties.checks import StepTaken, of_internal_step, timed_out
from resonate.core.properties.task_steps import edge

EDGES = {
    ("acquired", "pending"),
    ("suspended", "pending"),
    *((state, "fulfilled") for state in ("pending", "acquired", "suspended", "halted")),
}


@of_internal_step
def consistent_task_state_edge_internal_admissible(step: StepTaken) -> bool:
    """The server by itself never acquires, suspends, halts or continues."""
    return all(
        new.state == old.state or edge(old, new) in EDGES for _, old, new in step.changed_tasks
    )


@of_internal_step
def consistent_promise_state_edge_internal_admissible(step: StepTaken) -> bool:
    """The server by itself settles only by the deadline, and creates only what a schedule fires."""
    settled = (new for old, new in step.changed if new.state != old.state)
    return all(timed_out(each, step.now) for each in settled) and all(
        step.is_fired(each) for each in step.newborn
    )
