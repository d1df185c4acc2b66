"""Scores to ranked labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.inference.records import Prediction
from app.types import ScoreArray

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


def rank_all(
    scores: ScoreArray, classes: Sequence[str], top_k: int
) -> list[tuple[Prediction, ...]]:
    """Return what ``rank`` does for each row of ``(N, K)`` float32; a batch costs little more.

    Args:
        scores: ``(N, K)`` float32, rows sum to 1.
        classes: K names.
        top_k: 1..K.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    best = np.take_along_axis(scores, order, axis=1)
    return [
        tuple([Prediction(classes[index], index, score) for index, score in zip(*row, strict=True)])
        for row in zip(order.tolist(), best.tolist(), strict=True)
    ]
