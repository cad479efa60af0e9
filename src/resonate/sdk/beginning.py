"""Beginning a task: from what its promise asks for to the function that runs."""

from __future__ import annotations

from resonate.sdk.execution import Execution, Invocation
from resonate.sdk.frames import Frame
from resonate.sdk.host import Host
from resonate.sdk.registry import Registered
from resonate.sdk.retry_tags import policy_of
from resonate.sdk.steps import Call
from resonate.sdk.workflow import Workflow


def begin(execution: Execution, invocation: Invocation, entry: Registered, host: Host) -> None:
    """Run the function for the task, as a workflow of its own."""
    promise = execution.promise
    workflow = execution.workflow = Workflow(execution, host, execution.preload)
    frame = Frame(
        workflow,
        execution.id,
        _call(execution, invocation, entry, host),
        parent=None,
        tags=promise.tags,
        timeout_at=promise.timeout_at,
    )
    workflow.enter(frame)
    frame.start()
    if execution.lost:  # while its param was read
        workflow.lose()


def _call(execution: Execution, invocation: Invocation, entry: Registered, host: Host) -> Call:
    return Call(
        entry.func,
        tuple(invocation.args),
        invocation.kwargs,
        entry.version,
        policy_of(execution.promise.tags, entry),
        entry.non_retryable,
        host.encoder,
        read=True,
        process=entry.process,
    )
