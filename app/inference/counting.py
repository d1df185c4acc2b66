"""How images end: the one place where their outcomes are named and counted."""

from __future__ import annotations

import asyncio

from app.errors import (
    BatcherStoppedError,
    ClientFaultError,
    DeadlineExceededError,
    QueueFullError,
    ServableNotReadyError,
)
from app.inference.live import LiveServable
from app.inference.progress import note_progress
from app.inference.records import Classification
from app.inference.shared_task import ImageTask

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (ClientFaultError, "invalid"),
    (QueueFullError, "queue_full"),
    (DeadlineExceededError, "deadline"),
    (BatcherStoppedError, "not_ready"),
    (ServableNotReadyError, "not_ready"),
    (asyncio.CancelledError, "cancelled"),
)


def outcome_of(error: BaseException) -> str:
    """Return the ``outcome`` label of ``images_total`` for an error."""
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "execution_failed")


def count_all(live: LiveServable, images: int, error: BaseException) -> None:
    """Count images that ended in an error."""
    for _ in range(images):
        live.metrics.image_ended(outcome_of(error))


def count_ok(live: LiveServable, answer: Classification) -> None:
    """Count an image that was answered, and what it was taken for."""
    best = answer.predictions[0]
    live.metrics.image_ended("ok")
    live.metrics.image_predicted(best.class_id, best.score)
    if live.window is not None:
        live.window.observe(best.class_id, best.score, answer.pixels)


def late(
    live: LiveServable,
    images: int,
    decode_s: float | None = None,
    task: ImageTask | None = None,
) -> DeadlineExceededError:
    """Count images and return their error: a frame that keeps what it raises is a cycle.

    Args:
        live: Who did not answer in time.
        images: How many.
        decode_s: Of a single one, as far as it came.
        task: The same.
    """
    error = DeadlineExceededError("The deadline passed before the answer was there.")
    count_all(live, images, error)
    note_progress(error, decode_s, task)
    return error
