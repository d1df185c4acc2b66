"""From measurements to settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.runtime.policy import EnginePolicy
from app.tuning.goals import Goal
from app.tuning.recommendation import Recommendation, recommend
from app.tuning.records import Candidate, Curve
from tests.unit.tuning.curves import OV16, OV16_1, OV32, TF, curve

PRESENT = (OV16, OV32, TF)
MS = {1: 1.0, 16: 8.0, 64: 32.0}
POLICY = EnginePolicy(allowed_batch_sizes=(1, 16, 64))
THROUGHPUT = Goal("throughput")


def scaled(candidate: Candidate, by: float, **options: object) -> Curve:
    return curve(candidate, {size: ms * by for size, ms in MS.items()}, **options)  # type: ignore[arg-type]


def changes(found: Recommendation) -> dict[str, str]:
    return {entry.name: entry.value for entry in found.settings if entry.is_changed}


@pytest.mark.parametrize(
    ("curves", "goal", "expected"),
    [
        pytest.param([scaled(OV16, 1)], THROUGHPUT, {}, id="there is nothing else"),
        pytest.param([scaled(OV16, 1), scaled(TF, 2)], THROUGHPUT, {}, id="the other is slower"),
        pytest.param(
            [scaled(OV16, 1), scaled(OV16_1, 0.98)],
            THROUGHPUT,
            {},
            id="the other is hardly faster",
        ),
        pytest.param(
            [scaled(OV16, 1), scaled(OV16_1, 1, factors=(0.5, 0.8, 1.2, 1.3))],
            THROUGHPUT,
            {},
            id="the other is faster in half of the rounds",
        ),
        pytest.param(
            [scaled(OV16, 1, factors=(1, 2, 3, 4)), scaled(OV16_1, 0.9, factors=(1, 2, 3, 4))],
            THROUGHPUT,
            {"inference_threads": "1"},
            id="faster in every round, though rounds differ more",
        ),
        pytest.param(
            [scaled(OV16, 1), scaled(TF, 0.5)],
            THROUGHPUT,
            {"engine": "tensorflow", "precision": "float32"},
            id="another engine",
        ),
        pytest.param(
            [scaled(OV16, 1), scaled(OV32, 0.8)],
            THROUGHPUT,
            {"engine": "openvino", "precision": "float32"},
            id="another precision",
        ),
        pytest.param(
            [scaled(OV16, 1, factors=(1,)), scaled(TF, 0.85, factors=(1,))],
            THROUGHPUT,
            {},
            id="one glance is not enough for a small difference",
        ),
        pytest.param(
            [scaled(OV16, 1, factors=(1,)), scaled(TF, 0.5, factors=(1,))],
            THROUGHPUT,
            {"engine": "tensorflow", "precision": "float32"},
            id="for a large one it is",
        ),
        pytest.param(
            [scaled(OV16, 1), scaled(TF, 0.5, factors=(1,))],
            THROUGHPUT,
            {},
            id="who was not among the best is not recommended",
        ),
        pytest.param([scaled(OV16, 1)], Goal(), {"max_batch_size": "16"}, id="smaller batches"),
        pytest.param(
            [scaled(OV16, 1)],
            Goal("target", 0.020),
            {"max_batch_size": "16"},
            id="batches that keep to the target",
        ),
        pytest.param(
            [scaled(OV16, 1), scaled(OV16_1, 0.9, factors=(1, 1, 1, 1))],
            Goal("target", 0.0019),
            {"inference_threads": "1", "max_batch_size": "1"},
            id="only one keeps to the target",
        ),
        pytest.param(
            [curve(OV16, {1: 1.0, 16: 20.0}), curve(TF, {1: 0.5, 16: 30.0})],
            Goal("latency"),
            {"engine": "tensorflow", "precision": "float32", "max_batch_size": "1"},
            id="a lone image before all",
        ),
    ],
)
def test_only_what_is_clearly_better_is_changed(
    curves: list[Curve], goal: Goal, expected: dict[str, str]
) -> None:
    found = recommend(curves, PRESENT, POLICY, goal)

    # The sizes in between follow from the largest one.
    assert {k: v for k, v in changes(found).items() if k != "allowed_batch_sizes"} == expected
    assert found.is_present is (expected == {})


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        (Goal(), "2,000 images per second in batches of 16, and larger ones bring hardly more"),
        (Goal("latency"), "a lone image in 1 ms"),
        (Goal("throughput"), "Nothing measured serves this goal better"),
        (Goal("target", 0.020), "keeps a request under 20 ms this executes most images"),
        (Goal("target", 0.0001), "Nothing measured keeps a request under 0.1 ms"),
    ],
)
def test_a_reason_is_given(goal: Goal, reason: str) -> None:
    found = recommend([scaled(OV16, 1)], PRESENT, POLICY, goal)

    assert reason in found.reason
    if goal.name in {"balanced", "latency"}:
        wait = "at most for the running batch and its own, 8 ms (p50) and 8 ms (p99)"
        assert wait in found.reason


@pytest.mark.parametrize(
    ("shared_from", "size", "is_told"),
    [
        pytest.param(1, "4", False, id="nothing is shared"),
        pytest.param(16, "16", True, id="a smaller one would do for the network alone"),
        pytest.param(64, "64", False, id="the largest only, which is set"),
    ],
)
def test_batches_that_two_executions_share_the_cores_for_are_not_forbidden(
    shared_from: int, size: str, is_told: bool
) -> None:
    ms = {1: 1.0, 4: 2.0, 16: 8.0, 64: 32.0}
    found = recommend([curve(OV16, ms, shared_from=shared_from)], PRESENT, POLICY, Goal())

    [largest] = [each.value for each in found.settings if each.name == "max_batch_size"]
    assert largest == size
    why = f"Batches of fewer than {shared_from} images, a server executes one after the other"
    assert (why in found.reason) == is_told


def test_gains_are_told_against_what_is_set() -> None:
    found = recommend([scaled(OV16, 1), scaled(TF, 0.5)], PRESENT, POLICY, Goal())

    assert found.candidate == TF
    assert {gain.name: gain.ratio for gain in found.gains} == pytest.approx(
        {"images/s": 2, "ms for a lone image": 0.5, "ms that a request waits at most": 1 / 8}
    )


def test_where_nothing_of_now_can_be_measured_the_best_is_named_with_all_its_settings() -> None:
    found = recommend([scaled(TF, 1)], (OV16,), EnginePolicy("openvino", "bfloat16"), Goal())

    assert (found.present, found.gains) == (None, ())
    assert changes(found)["engine"] == "tensorflow"


def test_what_serves_where_the_first_choice_fails_is_what_is_compared() -> None:
    found = recommend([scaled(OV32, 1), scaled(TF, 2)], PRESENT, POLICY, THROUGHPUT)

    assert found.present == OV32
    assert found.is_present


def test_too_little_time_for_large_batches_is_no_reason_to_forbid_them() -> None:
    found = recommend([curve(OV16, {1: 1.0, 16: 8.0})], PRESENT, POLICY, Goal())

    assert found.is_present


def test_a_target_forbids_what_was_not_measured() -> None:
    found = recommend([curve(OV16, {1: 1.0, 16: 8.0})], PRESENT, POLICY, Goal("target", 0.02))

    assert changes(found)["max_batch_size"] == "16"


def test_batch_sizes_are_written_only_where_they_are_not_those_of_themselves() -> None:
    powers = replace(POLICY, allowed_batch_sizes=(1, 2, 4, 8))
    plain = curve(OV16, {1: 1.0, 2: 2.0, 4: 3.0, 8: 6.0})
    flat = curve(OV16, {1: 3.0, 2: 3.0, 4: 3.0, 8: 6.0})

    assert changes(recommend([plain], PRESENT, powers, Goal())) == {"max_batch_size": "4"}
    assert changes(recommend([flat], PRESENT, powers, Goal())) == {
        "max_batch_size": "4",
        "allowed_batch_sizes": "1,4",
    }
