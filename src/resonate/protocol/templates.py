"""Templates: the ids of the promises that a schedule fires. Source: section 5.3."""

from __future__ import annotations


def expand(template: str, schedule_id: str, instant: int) -> str:
    """Replace every ``{{.id}}`` by the schedule's id, then every ``{{.timestamp}}`` by the instant.

    Nothing else is special; a schedule's id may bring in a ``{{.timestamp}}`` of its own.
    """
    return template.replace("{{.id}}", schedule_id).replace("{{.timestamp}}", str(instant))
