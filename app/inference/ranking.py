"""Scores to ranked labels, and to the answer of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.batching.task import TaskResult
from app.inference.live import LiveServable
from app.inference.records import Classification, ImageInfo, Prediction, StageTiming
from app.inference.shared_task import Reuse
from app.types import DecodedImage, ScoreArray

# Up to so many classes, sorting without NumPy takes less time: half of it at 10.
_FEW = 32


def rank(scores: ScoreArray, classes: Sequence[str], top_k: int) -> tuple[Prediction, ...]:
    """Return the ``top_k`` best labels, highest score first; ties keep the order of classes.

    Args:
        scores: ``(K,)`` float32, sums to 1.
        classes: K names.
        top_k: 1..K.
    """
    if len(scores) <= _FEW:
        values = scores.tolist()
        # Reversed, a sort keeps the order of equals all the same.
        order = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:top_k]
        return tuple([Prediction(classes[index], index, values[index]) for index in order])
    best = np.argsort(-scores, kind="stable")[:top_k]
    ranked = zip(best.tolist(), scores[best].tolist(), strict=True)
    return tuple([Prediction(classes[index], index, score) for index, score in ranked])


def classification(
    live: LiveServable,
    result: TaskResult,
    image: DecodedImage,
    decode_s: float,
    top_k: int,
    reuse: Reuse | None = None,
) -> Classification:
    """Return the answer for an image that was executed.

    Args:
        live: Who answered.
        result: What the batcher gave.
        image: What was executed.
        decode_s: What its decoding took.
        top_k: 1..K.
        reuse: How it came to its scores; None where nothing is reused.
    """
    return Classification(
        rank(result.scores, live.manifest.classes, top_k),
        ImageInfo(image.format, image.width, image.height, image.mode),
        StageTiming(decode_s, result.queue_delay_s, result.execution_s, result.batch_size),
        image.pixels,
        reuse,
    )
