"""From what the batcher gave to the answer of an image."""

from __future__ import annotations

from app.batching.task import TaskResult
from app.inference.live import LiveServable
from app.inference.ranking import rank
from app.inference.records import Classification, ImageInfo, StageTiming
from app.inference.shared_task import Reuse
from app.types import DecodedImage


def classification(
    live: LiveServable,
    result: TaskResult,
    image: DecodedImage,
    decode_s: float,
    top_k: int,
    reuse: Reuse | None = None,
    queue_position: int | None = None,
) -> Classification:
    """Return the answer for an image that was executed.

    Args:
        live: Who answered.
        result: What the batcher gave.
        image: What was executed.
        decode_s: What its decoding took.
        top_k: 1..K.
        reuse: How it came to its scores; None where nothing is reused.
        queue_position: Its place in the queue when it came, where it had one of its own.
    """
    return Classification(
        rank(result.scores, live.manifest.classes, top_k),
        ImageInfo(image.format, image.width, image.height, image.mode),
        StageTiming(
            decode_s,
            result.queue_delay_s,
            result.execution_s,
            result.batch_size,
            queue_position,
        ),
        image.pixels,
        reuse,
    )
