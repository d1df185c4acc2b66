"""What is expected of an execution, by what was seen before."""

from __future__ import annotations

import pytest

from app.batching.execution_time import ENOUGH_EXECUTIONS, KEPT, WINDOW, ExecutionTime, fit_line

PER_IMAGE_S, FIXED_S = 0.002, 0.01


def honest_s(size: int) -> float:
    return PER_IMAGE_S * size + FIXED_S


def taught(*sizes: int) -> ExecutionTime:
    time = ExecutionTime()
    for size in sizes:
        time.observe(size, honest_s(size))
    return time


def test_line_is_found_whatever_sizes_came() -> None:
    time = taught(1, 8, 64, 1, 1, 16, 8, 64)
    assert (time.per_image_s, time.fixed_s) == pytest.approx((PER_IMAGE_S, FIXED_S))
    assert time.expected_s(32) == pytest.approx(honest_s(32))


def test_nothing_is_known_before_enough_executions() -> None:
    time = ExecutionTime()
    for _ in range(ENOUGH_EXECUTIONS):
        assert not time.is_known
        time.observe(1, 0.1)
    assert time.is_known
    assert ExecutionTime().expected_s(64) == 0


def test_one_size_alone_says_nothing_of_the_others() -> None:
    assert taught(8, 8, 8).expected_s(64) == pytest.approx(honest_s(8))


def test_a_larger_size_is_learned_from_its_first_execution() -> None:
    assert taught(*[1] * 1000, 64).expected_s(64) == pytest.approx(honest_s(64))


def test_a_slow_first_execution_is_forgotten_with_the_second() -> None:
    time = ExecutionTime()
    time.observe(64, 5.0)
    for size in (64, 1, 1):
        time.observe(size, honest_s(size))
    assert time.expected_s(64) == pytest.approx(honest_s(64))


@pytest.mark.parametrize("hiccup_s", [0.5, 30.0, 0.0], ids=["slow", "very slow", "too fast"])
def test_a_hiccup_hardly_moves_what_is_expected(hiccup_s: float) -> None:
    time = taught(*[1, 64] * WINDOW)
    time.observe(64, hiccup_s)
    assert time.expected_s(64) == pytest.approx(honest_s(64), rel=0.15)


@pytest.mark.parametrize("factor", [10.0, 0.1], ids=["slower", "faster"])
def test_a_machine_of_another_speed_is_followed_within_a_window(factor: float) -> None:
    time = taught(*[1, 8, 64] * WINDOW)
    for _ in range(WINDOW):
        time.observe(64, factor * honest_s(64))
    assert time.expected_s(64) == pytest.approx(factor * honest_s(64), rel=0.3)
    for _ in range(100):
        time.observe(64, factor * honest_s(64))
    assert time.expected_s(64) == pytest.approx(factor * honest_s(64), rel=0.05)


def test_many_lone_images_do_not_outweigh_a_large_batch() -> None:
    time = ExecutionTime()
    for _ in range(10_000):
        time.observe(1, 0.001)
    for _ in range(3):
        time.observe(64, 0.1)
    assert time.expected_s(64) == pytest.approx(0.1, rel=0.01)
    assert time.expected_s(1) < 0.01


def test_a_size_that_is_not_seen_any_more_is_forgotten() -> None:
    time = ExecutionTime()
    for _ in range(WINDOW):
        time.observe(64, 100.0)
    for _ in range(KEPT):
        time.observe(1, 0.001)
    assert time.expected_s(64) > 10
    time.observe(1, 0.001)
    assert time.expected_s(64) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        pytest.param([(4, 3, 1)], (0, 3), id="one point: its height"),
        pytest.param([(1, 3, 1), (2, 5, 9)], (2, 1), id="two points: through both"),
        pytest.param([(1, 5, 1), (2, 3, 1)], (0, 4), id="falling: the mean"),
        pytest.param([(1, 5, 3), (2, 3, 1)], (0, 4.5), id="falling: the weighted mean"),
        pytest.param([(1, 1, 1), (2, 4, 1)], (1.8, 0), id="below the origin: through it"),
        pytest.param([(1, 1, 1), (2, 2, 1), (3, 6, 0)], (1, 0), id="no weight: no voice"),
    ],
)
def test_line_has_the_least_squares_and_nothing_negative(
    points: list[tuple[float, float, float]], line: tuple[float, float]
) -> None:
    assert fit_line(points) == pytest.approx(line)
