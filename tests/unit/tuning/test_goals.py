"""Which batch sizes serve which goal."""

from __future__ import annotations

import pytest

from app.tuning.goals import Goal, useful_sizes
from tests.unit.tuning.curves import OV16, TF, curve

BALANCED, LATENCY, THROUGHPUT = Goal(), Goal("latency"), Goal("throughput")
# images/s: 500, 833, 1000, 1009
CPU = {1: 2.0, 8: 9.6, 32: 32.0, 64: 63.4}


@pytest.mark.parametrize(
    ("goal", "present", "expected"),
    [
        pytest.param(BALANCED, 64, 32, id="balanced: the smallest with nearly the most images/s"),
        pytest.param(LATENCY, 64, 8, id="latency: a smaller one still"),
        pytest.param(THROUGHPUT, 64, 64, id="throughput: what is set, where it is good"),
        pytest.param(THROUGHPUT, 8, 32, id="throughput: a larger one, where that is better"),
        pytest.param(Goal("target", 0.070), 64, 32, id="target: two executions fit into it"),
        pytest.param(Goal("target", 0.063), 64, 8, id="target: they do not quite"),
        pytest.param(Goal("target", 1.0), 64, 32, id="target: not larger than needed"),
        pytest.param(Goal("target", 0.003), 64, 1, id="target: out of reach"),
    ],
)
def test_largest_batch_size_serves_the_goal(goal: Goal, present: int, expected: int) -> None:
    assert goal.best_point(curve(OV16, CPU), present).batch_size == expected


@pytest.mark.parametrize(
    ("goal", "shared_from", "expected"),
    [
        pytest.param(BALANCED, 16, 32, id="balanced"),
        pytest.param(THROUGHPUT, 16, 32, id="throughput"),
        pytest.param(LATENCY, 16, 8, id="latency: not for its sake"),
        pytest.param(Goal("target", 0.025), 16, 8, id="target: nor then"),
        pytest.param(BALANCED, 8, 8, id="large enough as it is"),
        pytest.param(BALANCED, 128, 8, id="none is"),
    ],
)
def test_batches_are_large_enough_to_share_the_processor(
    goal: Goal, shared_from: int, expected: int
) -> None:
    # images/s: 500, 1000, 1000, 1001
    found = curve(OV16, {1: 2.0, 8: 8.0, 32: 32.0, 64: 63.9}, shared_from=shared_from)
    assert goal.best_point(found, 8).batch_size == expected


@pytest.mark.parametrize(
    ("goal", "is_first_better"),
    [
        pytest.param(BALANCED, True, id="more images per second"),
        pytest.param(THROUGHPUT, True, id="throughput"),
        pytest.param(LATENCY, False, id="a faster lone image"),
        pytest.param(Goal("target", 0.018), False, id="more of what keeps to the target"),
        pytest.param(Goal("target", 0.006), False, id="only one keeps to it"),
        pytest.param(Goal("target", 0.001), False, id="none does: the faster one"),
    ],
)
def test_candidates_are_ranked_by_the_goal(goal: Goal, is_first_better: bool) -> None:
    strong = curve(OV16, {1: 4.0, 64: 30.0})
    quick = curve(TF, {1: 2.0, 8: 9.0})

    assert (goal.score(strong) > goal.score(quick)) is is_first_better


@pytest.mark.parametrize(
    ("ms", "largest", "expected"),
    [
        pytest.param({1: 1, 2: 2, 4: 4}, 4, (1, 2, 4), id="a CPU: each is useful"),
        pytest.param({1: 5, 2: 5, 4: 5, 8: 9}, 8, (1, 4, 8), id="a GPU: padding costs nothing"),
        pytest.param({1: 5, 2: 9, 4: 7, 8: 9}, 8, (1, 4, 8), id="one is slower than a larger one"),
        pytest.param({1: 1, 2: 2, 4: 4}, 2, (1, 2), id="not above the largest"),
        pytest.param({1: 1}, 1, (1,), id="one"),
    ],
)
def test_sizes_that_save_nothing_are_left_out(
    ms: dict[int, float], largest: int, expected: tuple[int, ...]
) -> None:
    assert useful_sizes(curve(OV16, ms).points, largest) == expected
