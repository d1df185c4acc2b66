"""Decides whether a trained network may be published."""

from __future__ import annotations

from app.artifacts.manifest import Gate, GateCheck

MAX_ROUND_TRIP_DEVIATION = 1e-5
"""Saving keeps every bit of the weights, and the loaded network runs the same operations: what is
left is the order of float32 additions, some 1e-7 (measured: 0)."""

NON_FINITE_WEIGHTS = "non_finite_weights"
TEST_ACCURACY = "test_accuracy"
ROUND_TRIP_DEVIATION = "round_trip_deviation"

_FORCEABLE = {TEST_ACCURACY}
"""A weak network still serves. One with NaN in it, or whose file computes something else, would be
refused by every self-test."""


class GateError(Exception):
    """The network is not published; the message says which check failed, and by how much."""


def judge(
    *,
    non_finite_weights: int,
    test_accuracy: float,
    min_test_accuracy: float,
    round_trip_deviation: float,
    force: bool = False,
) -> Gate:
    """Compare the measured values with their limits.

    Args:
        non_finite_weights: Weights that are NaN or infinite.
        test_accuracy: Share of the test images that are classified rightly.
        min_test_accuracy: What the configuration asks for (gate.min_test_accuracy).
        round_trip_deviation: Largest difference between the probabilities before saving and
            after loading.
        force: Publish below the accuracy asked for, and record that.

    Returns:
        The record for the manifest: passed, or forced.

    Raises:
        GateError: A check failed and was not, or cannot be, forced.
    """
    checks = (
        _check(NON_FINITE_WEIGHTS, non_finite_weights, 0, non_finite_weights == 0),
        _check(TEST_ACCURACY, test_accuracy, min_test_accuracy, test_accuracy >= min_test_accuracy),
        _check(
            ROUND_TRIP_DEVIATION,
            round_trip_deviation,
            MAX_ROUND_TRIP_DEVIATION,
            round_trip_deviation <= MAX_ROUND_TRIP_DEVIATION,  # False for NaN
        ),
    )
    failed = [check for check in checks if not check.passed]
    forceable = all(check.name in _FORCEABLE for check in failed)
    if failed and not (force and forceable):
        raise GateError("; ".join(_describe(check) for check in failed) + _way_out(forceable))
    return Gate(passed=not failed, forced=bool(failed), checks=checks)


def _check(name: str, value: float, limit: float, passed: bool) -> GateCheck:
    return GateCheck(name=name, value=value, limit=limit, passed=passed)


def _describe(check: GateCheck) -> str:
    if check.name == TEST_ACCURACY:
        return (
            f"test accuracy {check.value:.4f} is below {check.limit:.4f} (gate.min_test_accuracy)"
        )
    if check.name == NON_FINITE_WEIGHTS:
        return f"{check.value:.0f} weights are not finite"
    return f"the saved network deviates by {check.value:.3g}, the limit is {check.limit:.3g}"


def _way_out(forceable: bool) -> str:
    return "; --force publishes it all the same" if forceable else "; --force cannot change that"
