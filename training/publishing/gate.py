"""Decides whether a trained network may be published."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.artifacts.manifest import Gate, GateCheck
from app.types import ScoreArray
from training.config import GateConfig

MAX_ROUND_TRIP_DEVIATION = 1e-5
"""Saving keeps every bit of the weights, and the loaded network runs the same operations: what is
left is the order of float32 additions, some 1e-7 (measured: 0)."""

NON_FINITE_WEIGHTS = "non_finite_weights"
TRAIN_ACCURACY = "train_accuracy"
VALIDATION_ACCURACY = "validation_accuracy"
TEST_ACCURACY = "test_accuracy"
PUBLISHED_ACCURACY = "published_accuracy"
ROUND_TRIP_DEVIATION = "round_trip_deviation"

_ROUNDING = 1e-9
"""0.9 - 0.01 is a hair above 0.89 in floating point; an image more or less is 1e-6 at least."""

_FORCEABLE = {TRAIN_ACCURACY, VALIDATION_ACCURACY, TEST_ACCURACY, PUBLISHED_ACCURACY}
"""A weak network still serves. One with NaN in it, or whose file computes something else, would be
refused by every self-test."""

_MEANINGS = {
    TRAIN_ACCURACY: "train accuracy {value:.4f} is below {limit:.4f} (gate.min_train_accuracy)",
    VALIDATION_ACCURACY: (
        "validation accuracy {value:.4f} is below {limit:.4f} (gate.min_validation_accuracy)"
    ),
    TEST_ACCURACY: "test accuracy {value:.4f} is below {limit:.4f} (gate.min_test_accuracy)",
    PUBLISHED_ACCURACY: (
        "test accuracy {value:.4f} is below {limit:.4f}, what the published version reaches on "
        "the same images less the drop that is allowed (gate.max_accuracy_drop)"
    ),
    NON_FINITE_WEIGHTS: "{value:.0f} weights are NaN or infinite",
    ROUND_TRIP_DEVIATION: "the saved network deviates by {value:.3g}, the limit is {limit:.3g}",
}

_NOT_FORCEABLE = "; --force cannot change that"


class GateError(Exception):
    """The network is not published; the message says which check failed, and by how much."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the gate judges.

    Attributes:
        non_finite_weights: Weights that are NaN or infinite.
        round_trip_deviation: Largest difference between the probabilities before saving and
            after loading.
        train_accuracy: Share of the training images, as they are, that is classified rightly.
        validation_accuracy: The same of the validation images.
        test_accuracy: The same of the test images.
        published_accuracy: What the version that is published now reaches on these test images;
            None where there is none to compare with.
    """

    non_finite_weights: int
    round_trip_deviation: float
    train_accuracy: float
    validation_accuracy: float
    test_accuracy: float
    published_accuracy: float | None = None


def require_numbers(non_finite_weights: int, scores: ScoreArray) -> None:
    """Refuse a network that NaN has come into, before figures are computed from it.

    Args:
        non_finite_weights: Weights that are NaN or infinite.
        scores: ``(N, K)`` float32, its answers to some images.

    Raises:
        GateError: There is such a weight or answer.
    """
    if non_finite_weights:
        meaning = _MEANINGS[NON_FINITE_WEIGHTS].format(value=non_finite_weights)
        raise GateError(meaning + _NOT_FORCEABLE)
    if not np.isfinite(scores).all():
        raise GateError("the network answers with NaN or infinity" + _NOT_FORCEABLE)


def judge(measured: Measured, limits: GateConfig, *, force: bool = False) -> Gate:
    """Compare the measured values with their limits.

    Args:
        measured: The values.
        limits: What the configuration asks for.
        force: Publish below the accuracies asked for, and record that.

    Returns:
        The record for the manifest: passed, or forced.

    Raises:
        GateError: A check failed and was not, or cannot be, forced.
    """
    checks = (
        _at_most(NON_FINITE_WEIGHTS, measured.non_finite_weights, 0),
        _at_most(ROUND_TRIP_DEVIATION, measured.round_trip_deviation, MAX_ROUND_TRIP_DEVIATION),
        *_accuracy_checks(measured, limits),
    )
    failed = [check for check in checks if not check.passed]
    forceable = all(check.name in _FORCEABLE for check in failed)
    if failed and not (force and forceable):
        way_out = "; --force publishes it all the same" if forceable else _NOT_FORCEABLE
        raise GateError(describe_failures(checks) + way_out)
    return Gate(passed=not failed, forced=bool(failed), checks=checks)


def describe_failures(checks: Iterable[GateCheck]) -> str:
    """Return what is wrong, with value, limit and setting; empty if nothing is."""
    return "; ".join(
        _MEANINGS.get(check.name, "{name} is {value:g}, the limit is {limit:g}").format(
            name=check.name, value=check.value, limit=check.limit
        )
        for check in checks
        if not check.passed
    )


def _accuracy_checks(measured: Measured, limits: GateConfig) -> list[GateCheck]:
    test = measured.test_accuracy
    checks = [
        _at_least(TRAIN_ACCURACY, measured.train_accuracy, limits.min_train_accuracy),
        _at_least(
            VALIDATION_ACCURACY, measured.validation_accuracy, limits.min_validation_accuracy
        ),
    ]
    if limits.min_test_accuracy > 0:
        checks.append(_at_least(TEST_ACCURACY, test, limits.min_test_accuracy))
    if measured.published_accuracy is not None:
        limit = max(measured.published_accuracy - limits.max_accuracy_drop, 0.0)
        checks.append(_at_least(PUBLISHED_ACCURACY, test, limit))
    return checks


def _at_least(name: str, value: float, limit: float) -> GateCheck:
    return GateCheck(name=name, value=value, limit=limit, passed=value >= limit - _ROUNDING)


def _at_most(name: str, value: float, limit: float) -> GateCheck:
    if not math.isfinite(value):  # no manifest may say so, and none will: the check is not passed
        return GateCheck.model_construct(name=name, value=value, limit=limit, passed=False)
    return GateCheck(name=name, value=value, limit=limit, passed=value <= limit)
