"""What a batch tells the traces of the images in it."""

from __future__ import annotations

from collections.abc import Sequence

from app.batching.runner import BatchOutcome
from app.batching.task import BatchTask
from app.tracing.request_trace import BatchTimes, ExecutionTimes


def trace_batch(servable: str, outcome: BatchOutcome, traced: Sequence[BatchTask]) -> None:
    """Tell the first of them, which tells the others.

    Args:
        servable: Whose batch it was.
        outcome: What became of it.
        traced: Its tasks that have a trace; not empty.
    """
    waiting = [(task.trace, task.enqueued_at_s) for task in traced if task.trace is not None]
    executions = [
        ExecutionTimes(each.started_at_s, each.duration_s, each.size, each.padded)
        for each in outcome.executions
    ]
    batch = BatchTimes(
        servable,
        outcome.taken_at_s,
        outcome.finished_at_s,
        waiting,
        executions,
        len(outcome.failures),
    )
    waiting[0][0].batch_executed(batch)
