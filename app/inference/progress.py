"""How far an image came that was not answered."""

from __future__ import annotations

import asyncio

from app.batching.task import BatchTask
from app.errors import Progress, ServingError
from app.inference.shared_task import ImageTask


def note_progress(error: BaseException, decode_s: float | None, task: ImageTask | None) -> None:
    """Write into an error how far its image came; called where the error is, and nowhere else.

    Args:
        error: What ended it.
        decode_s: What its decoding took; None where it was not decoded.
        task: As it was queued; None where it was not. One that waits for the execution of another
            image has no place of its own.
    """
    if isinstance(error, ServingError) and decode_s is not None:
        error.progress = progress_of(decode_s, task)


def progress_of(decode_s: float, task: ImageTask | None) -> Progress:
    """Return how far an image is; see ``note_progress``."""
    if not isinstance(task, BatchTask):
        return Progress(decode_s)
    now_s, left_at_s = asyncio.get_running_loop().time(), task.left_at_s
    return Progress(
        decode_s,
        queue_s=(now_s if left_at_s is None else left_at_s) - task.enqueued_at_s,
        execute_s=None if left_at_s is None else now_s - left_at_s,
        queue_position=task.queue_position,
    )
