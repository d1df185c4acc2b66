from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from app.artifacts.manifest import Gate
from training.config import GateConfig
from training.publishing.gate import (
    MAX_ROUND_TRIP_DEVIATION,
    GateError,
    Measured,
    describe_failures,
    judge,
    require_numbers,
)

LIMITS = GateConfig()
"""0.8 on training, 0.7 on validation images, 0.01 below the published version."""


def judged(limits: GateConfig = LIMITS, *, force: bool = False, **changes: Any) -> Gate:
    measured: dict[str, Any] = {
        "non_finite_weights": 0,
        "round_trip_deviation": 0.0,
        "train_accuracy": 0.95,
        "validation_accuracy": 0.9,
        "test_accuracy": 0.89,
    }
    return judge(Measured(**measured | changes), limits, force=force)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_accuracy": 0.8},
        {"validation_accuracy": 0.7},
        {"published_accuracy": 0.9},  # 0.89 is 0.01 below, and less in floating point
        {"published_accuracy": 0.005, "test_accuracy": 0.0},
        {"round_trip_deviation": MAX_ROUND_TRIP_DEVIATION},
    ],
    ids=lambda changes: ", ".join(changes) or "inside",
)
def test_network_at_its_limits_passes(changes: dict[str, Any]) -> None:
    gate = judged(**changes)

    assert (gate.passed, gate.forced) == (True, False)
    assert all(check.passed for check in gate.checks)


def test_what_was_judged_is_recorded_with_value_and_limit() -> None:
    gate = judged(GateConfig(min_test_accuracy=0.85), published_accuracy=0.88)

    assert {check.name: (check.value, check.limit) for check in gate.checks} == {
        "non_finite_weights": (0, 0),
        "round_trip_deviation": (0, MAX_ROUND_TRIP_DEVIATION),
        "train_accuracy": (0.95, 0.8),
        "validation_accuracy": (0.9, 0.7),
        "test_accuracy": (0.89, 0.85),
        "published_accuracy": (0.89, 0.87),
    }


def test_what_nobody_asked_for_is_not_judged() -> None:
    names = {check.name for check in judged(test_accuracy=0.01).checks}

    assert names.isdisjoint({"test_accuracy", "published_accuracy"})


def test_force_on_a_good_network_is_not_recorded() -> None:
    assert judged(force=True) == judged()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_accuracy": 0.7312},
            r"train accuracy 0\.7312 is below 0\.8000 \(gate\.min_train_accuracy\)",
        ),
        (
            {"validation_accuracy": 0.6},
            r"validation accuracy 0\.6000 is below 0\.7000 \(gate\.min_validation_accuracy\)",
        ),
        (
            {"test_accuracy": 0.84},
            r"test accuracy 0\.8400 is below 0\.8500 \(gate\.min_test_accuracy\)",
        ),
        (
            {"published_accuracy": 0.91},
            r"test accuracy 0\.8900 is below 0\.9000, what the .*\(gate\.max_accuracy_drop\)",
        ),
    ],
    ids=["train", "validation", "test", "published"],
)
class TestWeakNetwork:
    LIMITS = GateConfig(min_test_accuracy=0.85)

    def test_is_refused_with_value_limit_and_setting(
        self, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(GateError, match=f"^{message}; --force publishes it all the same$"):
            judged(self.LIMITS, **changes)

    def test_can_be_forced_and_the_record_says_so(
        self, changes: dict[str, Any], message: str
    ) -> None:
        gate = judged(self.LIMITS, **changes, force=True)

        assert (gate.passed, gate.forced) == (False, True)
        with pytest.raises(GateError, match=message):
            raise GateError(describe_failures(gate.checks))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"non_finite_weights": 3}, "3 weights are NaN or infinite"),
        ({"round_trip_deviation": 2e-5}, "deviates by 2e-05, the limit is 1e-05"),
        ({"round_trip_deviation": math.nan}, "deviates by nan, the limit is 1e-05"),
        ({"round_trip_deviation": 1.0, "test_accuracy": 0.1}, "deviates by 1, "),
    ],
    ids=["NaN in the weights", "another file", "NaN in the probabilities", "and a weak one"],
)
def test_damaged_network_cannot_be_forced(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GateError, match=rf"{message}.*; --force cannot change that$"):
        judged(**changes, force=True)


def test_every_failed_check_is_told() -> None:
    with pytest.raises(GateError, match=r"train accuracy 0\.1000 .*; validation accuracy 0\.2000"):
        judged(train_accuracy=0.1, validation_accuracy=0.2)


def test_failed_check_that_a_later_release_knows_is_told_by_its_name() -> None:
    check = judged().checks[0].model_copy(update={"name": "speed", "passed": False, "limit": 3.5})

    assert describe_failures([check]) == "speed is 0, the limit is 3.5"


def test_numbers_are_numbers() -> None:
    require_numbers(0, np.array([[0.25, 0.75]], np.float32))


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_network_that_answers_with_no_number_is_refused(score: float) -> None:
    with pytest.raises(GateError, match="answers with NaN or infinity; --force cannot"):
        require_numbers(0, np.array([[0.25, score]], np.float32))


def test_network_with_nan_in_its_weights_is_refused() -> None:
    with pytest.raises(GateError, match="2 weights are NaN or infinite; --force cannot"):
        require_numbers(2, np.array([[0.25, 0.75]], np.float32))
