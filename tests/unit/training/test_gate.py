from __future__ import annotations

import math

import pytest

from app.artifacts.manifest import Gate
from training.gate import MAX_ROUND_TRIP_DEVIATION, GateError, judge


def judged(
    *, weights: int = 0, accuracy: float = 0.9, deviation: float = 0.0, force: bool = False
) -> Gate:
    return judge(
        non_finite_weights=weights,
        test_accuracy=accuracy,
        min_test_accuracy=0.8,
        round_trip_deviation=deviation,
        force=force,
    )


@pytest.mark.parametrize(
    ("accuracy", "deviation"), [(0.9, 0.0), (0.8, MAX_ROUND_TRIP_DEVIATION)], ids=["inside", "at"]
)
def test_network_inside_its_limits_passes(accuracy: float, deviation: float) -> None:
    gate = judged(accuracy=accuracy, deviation=deviation)

    assert gate.passed
    assert not gate.forced
    assert {check.name for check in gate.checks} == {
        "non_finite_weights",
        "test_accuracy",
        "round_trip_deviation",
    }
    assert all(check.passed for check in gate.checks)


def test_force_on_a_good_network_is_not_recorded() -> None:
    assert judged(force=True) == judged()


def test_weak_network_is_refused_with_value_limit_and_setting() -> None:
    with pytest.raises(
        GateError, match=r"0\.7912 is below 0\.8000 \(gate\.min_test_accuracy\); --force"
    ):
        judged(accuracy=0.7912)


def test_forced_weak_network_is_recorded_as_such() -> None:
    gate = judged(accuracy=0.7, force=True)

    assert not gate.passed
    assert gate.forced
    assert [check.name for check in gate.checks if not check.passed] == ["test_accuracy"]


@pytest.mark.parametrize(
    ("weights", "deviation", "message"),
    [
        (3, 0.0, "3 weights are not finite"),
        (0, 2e-5, "deviates by 2e-05, the limit is 1e-05"),
        (0, math.nan, "deviates by nan, the limit is 1e-05"),
    ],
    ids=["NaN in the weights", "another network in the file", "NaN in the probabilities"],
)
def test_damaged_network_cannot_be_forced(weights: int, deviation: float, message: str) -> None:
    with pytest.raises(GateError, match=f"{message}; --force cannot change that"):
        judged(weights=weights, deviation=deviation, force=True)


def test_every_failed_check_is_told() -> None:
    with pytest.raises(GateError, match=r"2 weights .*; test accuracy 0\.1000 .*"):
        judged(weights=2, accuracy=0.1)
