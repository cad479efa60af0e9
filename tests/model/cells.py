"""What the reference says can be answered: the cells that walks must reach.

``cells(strict)`` holds (kind, status, text) from sections 1.4, 2.5, 3.4, 4, 5.4 and 8; an answer that is
not a text has the text ``""``. The kind ``*`` stands for the checks before a kind is known.
``lines(strict)`` holds the lines of the handlers in section 3.4, as ``handlers`` names them: which line
answered, and, where that is what matters, in which state the task was seen.

Not here: what no request body alone brings about, 401 and 403 (authentication is off, debug operations
are on), 413, 500 and 503; and ``debug.stop``, after which a server would not be alone with its walk.
"""

from __future__ import annotations

from tests.model.door import DEBUG_KINDS, ENVELOPE, KINDS, NO_TIME, SHAPE
from tests.model.rules import TIMER_TARGET

Cell = tuple[str, int, str]

R1 = "Promise ID is required"
R2 = "TimeoutAt must be a non-negative integer"
R3 = "Promise ID must not contain null bytes"
R4 = "resonate:delay must be a non-negative integer"
R4_LATE = "resonate:delay must be less than timeoutAt"
R5 = "Invalid resonate:target address"
R6 = "Awaited promise ID is required"
R7 = "Awaiter promise ID is required"
R8 = "Awaited and awaiter must be different promises"
R9 = "Address is required"
R10 = "Invalid listener address"
R11 = "Limit must be a positive integer"
R12 = "Invalid 'limit' — must be between 1 and 1000"
R13 = "Task ID is required"
R14 = "Process ID is required"
R15 = "TTL must be a positive integer"
R16 = "Action must have a resonate:target tag"
R17 = "Version must be a non-negative integer"
R18 = "Action ID must match the task ID"
R19 = "Actions array cannot be empty"
R20 = "All action awaiter IDs must match the task ID"
R21 = "Action ID must not equal the task ID"
R22 = "Invalid fence action kind"
R22_DATA = "Invalid action data: *"
R23 = "Schedule ID is required"
R24 = "Cron expression is required"
R25 = "Promise ID template is required"
R26 = "Promise timeout must be a non-negative integer"
R27 = "Invalid cron expression"
LONG = "Invalid request: id too long"
MANY_TAGS = "Invalid request: too many tags"
LARGE_TAGS = "Invalid request: tags too large"
TAGS = (R5, MANY_TAGS, LARGE_TAGS)
CREATE = (R1, R2, R3, R4, R4_LATE, *TAGS, LONG)

# Section 2.5, and the limits of 1.6: kind -> texts of its 400s beside the shape.
REFUSED: dict[str, tuple[str, ...]] = {
    "promise.get": (R1, LONG),
    "promise.create": CREATE,
    "promise.settle": (R1, LONG),
    "promise.register_callback": (R6, R7, R8, LONG),
    "promise.register_listener": (R6, R9, R10, LONG),
    "promise.search": (R11, R12),
    "task.get": (R13, LONG),
    "task.halt": (R13, LONG),
    "task.continue": (R13, LONG),
    "task.create": (R14, R15, *CREATE, R16),
    "task.acquire": (R13, R17, R14, R15, LONG),
    "task.release": (R13, R17, LONG),
    "task.fulfill": (R13, R17, R1, R18, LONG),
    "task.suspend": (R13, R17, R19, R6, R7, R8, R20, LONG),
    "task.fence": (R13, R17, R21, R22, R22_DATA, *CREATE),
    "task.heartbeat": (R14, LONG),
    "task.search": (R11, R12),
    "schedule.get": (R23, LONG),
    "schedule.delete": (R23, LONG),
    "schedule.create": (
        *(R23, R24, R25, R26, "Schedule ID must not contain null bytes", R3, R4, *TAGS, LONG, R27),
    ),
    "schedule.search": (R11, R12),
}

# Section 3.4: kind -> what its handler answers.
HANDLED: dict[str, tuple[tuple[int, str], ...]] = {
    "promise.get": ((404, "Promise not found"), (200, "")),
    "promise.create": ((200, ""),),
    "promise.settle": ((404, "Promise not found"), (200, "")),
    "promise.register_callback": (
        (404, "Awaited promise not found"),
        (422, "Awaiter promise not found"),
        (422, "Awaiter promise has no resonate:target tag"),
        (200, ""),
    ),
    "promise.register_listener": ((404, "Awaited promise not found"), (200, "")),
    "promise.search": ((200, ""),),
    "task.get": ((404, "Task not found"), (200, "")),
    "task.create": (
        (200, ""),
        (422, "Promise exists without a target task"),
        (409, "Already exists"),
    ),
    "task.acquire": (
        (404, "Task not found"),
        (409, "Task is not pending"),
        (409, "Version mismatch"),
        (200, ""),
    ),
    "task.fence": ((404, "Task not found"), (409, "Version mismatch"), (200, "")),
    "task.heartbeat": ((200, ""),),
    "task.suspend": (
        (404, "Task not found"),
        (409, "Task is not acquired or version mismatch"),
        (422, "Awaited promise not found"),
        (300, ""),
        (200, ""),
    ),
    "task.fulfill": (
        (404, "Task not found"),
        (409, "Task version mismatch or invalid state"),
        (200, ""),
    ),
    "task.release": (
        (404, "Task not found"),
        (409, "Task version mismatch or invalid state"),
        (200, ""),
    ),
    "task.halt": ((404, "Task not found"), (409, "Task is fulfilled"), (200, "")),
    "task.continue": ((404, "Task not found"), (409, "Task is not halted"), (200, "")),
    "task.search": ((200, ""),),
    "schedule.get": ((404, "Schedule not found"), (200, "")),
    "schedule.create": ((200, ""),),
    "schedule.delete": ((404, "Schedule not found"), (200, "")),
    "schedule.search": ((200, ""),),
}
SEARCHES = ("promise.search", "task.search", "schedule.search")

# Sections 8.5 and 8.6: lenient only.
EXTENSIONS: set[Cell] = {
    ("task.release", 400, "Delay must be a non-negative integer"),
    ("task.release", 400, "Delay must not exceed 86400000"),
    ("promise.search", 400, "Invalid 'order' — must be one of id, newest, oldest"),
    ("promise.search", 400, "Invalid cursor"),
}

# Section 4: strict only.
STRICT: set[Cell] = {
    *((kind, 501, "Not implemented") for kind in SEARCHES),
    *((kind, 400, TIMER_TARGET) for kind in ("promise.create", "task.create", "schedule.create")),
    ("promise.register_callback", 422, "Awaited promise is not external"),
    ("promise.register_listener", 422, "Awaited promise is not external"),
    ("task.suspend", 422, "Awaited promise is not external"),
    ("task.suspend", 400, "Awaited promises must be distinct"),
    *((kind, 400, "Invalid action kind") for kind in ("task.create", "task.suspend")),
    ("task.fulfill", 400, "Invalid action kind"),
}

# Section 1.4, checks 2 to 7, and 8.2.
ENVELOPES: set[Cell] = {
    ("*", 400, ENVELOPE),
    ("*", 400, "Missing or invalid 'kind' field — must be a non-empty string"),
    ("*", 400, "Invalid 'data' field — must be an object"),
    ("*", 400, "Unsupported protocol version '*"),
    ("*", 400, "Unknown operation: *"),
    ("*", 400, "Not allowed in a batch: *"),
    ("*", 400, "Batch must not be empty"),
    ("*", 400, "Batch too large: *"),
}
DEBUG: set[Cell] = {
    *((kind, 200, "") for kind in DEBUG_KINDS if kind != "debug.stop"),
    ("debug.tick", 400, NO_TIME),
    ("debug.tick", 400, "resonate:debug_time must equal data.time"),
}


def cells(strict: bool) -> set[Cell]:
    found = {*ENVELOPES, *DEBUG, *(STRICT if strict else EXTENSIONS)}
    for kind in KINDS:
        found.add((kind, 400, SHAPE))
        found |= {(kind, 400, text) for text in REFUSED[kind]}
        if not (strict and kind in SEARCHES):
            found |= {(kind, *answer) for answer in HANDLED[kind]}
    return found


def cells_of(kind: str, status: int, data: object) -> set[Cell]:
    """Return the cells that one answer fills: joined texts fill one each."""
    if not isinstance(data, str):
        return {(kind, status, "")}
    for _, at, prefix in ENVELOPES:
        if status == at and _matches(data, prefix):
            return {("*", status, prefix)}
    return {(kind, status, text) for text in data.split("; ")}


def _matches(text: str, expected: str) -> bool:
    return text.startswith(expected[:-1]) if expected.endswith("*") else text == expected


# ------------------------------------------------------------------- the lines of section 3.4

_NOT_ACQUIRED = ("none", "pending", "suspended", "halted", "fulfilled", "version")
_NOT_PENDING = ("acquired", "suspended", "halted", "fulfilled")

LINES: set[str] = {
    *("H1.1", "H1.2", "H2.2", "H2.3 born", "H2.3 born settled", "H3.1", "H3.2", "H3.3"),
    *("H4.1", "H4.2", "H4.3", "H4.5", "H4.6", "H5.1", "H5.3", "H5.4", "H5.4 superseded"),
    *("H7.1", "H7.2", "H8.2 born", "H8.2 born settled", "H8.3", "H8.4 fulfilled", "H8.4 pending"),
    *("H8.4 acquired", "H8.4 suspended", "H8.4 halted", "H9.1", "H9.3", "H9.4"),
    *(f"H9.2 {state}" for state in _NOT_PENDING),
    *(f"{line} {state}" for line in ("H10.1", "H13.1", "H14.1") for state in _NOT_ACQUIRED),
    *(f"H12.2 {state}" for state in _NOT_ACQUIRED),
    *(f"H10.3 {line}" for line in ("H2.2", "H2.3 born", "H2.3 born settled")),
    *("H10.3 H3.1", "H10.3 H3.2", "H10.3 H3.3", "H11", "H12.3", "H12.4", "H12.5", "H13.2"),
    *("H14.2", "H15.1", "H15.2", "H15.3", "H16.1", "H16.3", "H18", "H19.2", "H19.3", "H20"),
    *(f"H15.4 {state}" for state in ("pending", "acquired", "suspended")),
    *(f"H16.2 {state}" for state in ("pending", "acquired", "suspended", "fulfilled")),
}
LENIENT_LINES = {"H6", "H17", "H21", "H11 all", "H11 lost", "H14.2 delay"}
STRICT_LINES = {
    *("H2.1", "H4.4", "H5.2", "H8.1", "H10.3 H2.1", "H11 empty", "H11 skipped", "H12.1"),
    *("H12.3 internal", "H19.1"),
}


def lines(strict: bool) -> set[str]:
    return LINES | (STRICT_LINES if strict else LENIENT_LINES)
