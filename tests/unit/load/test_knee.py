"""Up to which rate a server holds what it promises."""

from __future__ import annotations

import pytest

from app.load.knee import Knee, find_knee, share_in_time


@pytest.mark.parametrize(
    ("shares", "knee"),
    [
        pytest.param([(100, 1.0), (200, 0.995), (300, 0.9)], Knee(200, 300), id="in the middle"),
        pytest.param([(300, 0.9), (100, 1.0), (200, 0.995)], Knee(200, 300), id="in any order"),
        pytest.param([(100, 0.99), (200, 0.9899)], Knee(100, 200), id="99 % is just enough"),
        pytest.param([(100, 1.0), (200, 1.0)], Knee(200, None), id="all hold"),
        pytest.param([(100, 0.5), (200, 0.0)], Knee(None, 100), id="none holds"),
        pytest.param(
            [(100, 1.0), (200, 0.9), (300, 1.0)], Knee(100, 200), id="above a failure none counts"
        ),
        pytest.param([], Knee(None, None), id="nothing was measured"),
    ],
)
def test_knee_is_the_highest_rate_up_to_which_all_hold(
    shares: list[tuple[float, float]], knee: Knee
) -> None:
    assert find_knee(shares) == knee


@pytest.mark.parametrize(
    ("knee", "between"),
    [
        (Knee(200, 300), 250),
        (Knee(200, None), None),
        (Knee(None, 100), None),
        (Knee(None, None), None),
    ],
)
def test_knee_is_narrowed_down_between_two_rates(knee: Knee, between: float | None) -> None:
    assert knee.between == between


def test_share_counts_all_that_was_offered() -> None:
    assert share_in_time(200, 150) == 0.75
    assert share_in_time(0, 0) == 0
