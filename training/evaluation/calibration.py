"""Temperature scaling: one number that makes a network as sure as it is right.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks. ICML 2017,
section 4.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from app.types import ScoreArray

MIN_IMAGES = 50
"""Fewer say too little: by 50 images the temperature of a network that is right four times in five
already scatters by a fifth (simulated), and a wrong temperature is worse than none."""

TEMPERATURE_RANGE = (0.05, 20.0)
"""Published networks lie between 0.5 and 5. An optimum at an end is none: a network that knows
nothing becomes better for ever as it rises."""

_END = 1.02
"""How close to an end of the range counts as being there, as a factor."""


def fit_temperature(scores: ScoreArray, labels: NDArray[np.int64]) -> float:
    """Find the temperature under which the labels are most likely.

    Use validation images: the network is surer about those it learnt from, and a temperature that
    was chosen by the test images would make the test's calibration error look better than it is.

    Args:
        scores: ``(N, K)`` float32, rows sum to 1.
        labels: ``(N,)`` class ids.

    Returns:
        The temperature, or exactly 1 where there is nothing to find: too few images, scores that
        are no numbers, or no optimum within ``TEMPERATURE_RANGE``.
    """
    # Where the right class has probability 0, it keeps it under every temperature.
    told = scores[np.arange(len(labels)), labels] > 0  # (N,); False for NaN
    if told.sum() < MIN_IMAGES or not np.isfinite(scores).all():
        return 1.0
    logs = _logarithms(scores[told])  # (N, K) float64, -inf..0
    chosen = logs[np.arange(len(logs)), labels[told]]  # (N,)
    if (chosen == logs.max(axis=1)).all():  # no mistake: any fall of the temperature is rewarded
        return 1.0

    def loss(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        return float(np.mean(logsumexp(beta * logs, axis=1) - beta * chosen))

    # Convex in 1/T, so there is one valley; over log T it is as wide on both sides of 1.
    low, high = TEMPERATURE_RANGE
    found = minimize_scalar(loss, bounds=(math.log(low), math.log(high)), method="bounded")
    temperature = math.exp(found.x)
    inside = low * _END < temperature < high / _END
    return temperature if found.success and inside and math.isfinite(found.fun) else 1.0


def apply_temperature(scores: ScoreArray, temperature: float) -> ScoreArray:
    """Return softmax(log p / temperature), as the service computes it.

    Args:
        scores: ``(N, K)`` float32, rows sum to 1.
        temperature: Above 1 makes the network less sure, below 1 surer; the order of the classes
            stays.

    Returns:
        ``(N, K)`` float32, rows sum to 1.
    """
    if temperature == 1.0:
        return scores
    logs = _logarithms(scores) / temperature  # (N, K) float64
    calibrated = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return np.asarray(calibrated, np.float32)


def _logarithms(scores: ScoreArray) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):  # log 0 is -inf, and its exponential 0 again
        return np.log(scores.astype(np.float64))
