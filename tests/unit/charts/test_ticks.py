"""Where axes begin, end and are labelled."""

import pytest

from app.charts.ticks import linear_axis, log_axis, tick_label


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        pytest.param([], (0, 0.2, 0.4, 0.6, 0.8, 1), id="nothing"),
        pytest.param([0, 0], (0, 0.2, 0.4, 0.6, 0.8, 1), id="nothing but 0"),
        pytest.param([3, 2030], (0, 500, 1000, 1500, 2000, 2500), id="images per second"),
        pytest.param(
            [0.3], (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3), id="a fraction, exact in decimal"
        ),
        pytest.param([60], (0, 10, 20, 30, 40, 50, 60), id="an end that is a tick stays the end"),
        pytest.param([61], (0, 20, 40, 60, 80), id="just above it"),
        pytest.param([-4, 5], (-4, -2, 0, 2, 4, 6), id="on both sides of 0"),
        pytest.param([-4], (-4, -3, -2, -1, 0), id="below 0"),
    ],
)
def test_a_linear_axis_begins_at_0_and_counts_in_round_steps(
    values: list[float], ticks: tuple[float, ...]
) -> None:
    axis = linear_axis(values)

    assert axis.ticks == ticks
    assert (axis.low, axis.high) == (ticks[0], ticks[-1])


@pytest.mark.parametrize(
    ("values", "ends", "ticks"),
    [
        pytest.param([], (1, 10), (1, 2, 5, 10), id="nothing"),
        pytest.param([7], (5, 10), (5, 10), id="one value"),
        pytest.param([5], (5, 10), (5, 10), id="one value that is a tick"),
        pytest.param([1, 256], (1, 500), (1, 2, 5, 10, 20, 50, 100, 200, 500)[::3], id="decades"),
        pytest.param([0.8, 40], (0.5, 50), (0.5, 1, 2, 5, 10, 20, 50), id="milliseconds"),
        pytest.param([2e-6, 3e6], (2e-6, 5e6), (1e-5, 1e-3, 0.1, 10, 1e3, 1e5), id="thinned out"),
    ],
)
def test_a_logarithmic_axis_counts_in_1_2_5(
    values: list[float], ends: tuple[float, float], ticks: tuple[float, ...]
) -> None:
    axis = log_axis(values)

    assert (axis.low, axis.high) == ends
    assert axis.ticks == ticks


def test_equal_differences_or_equal_factors_have_equal_lengths() -> None:
    assert linear_axis([100]).share(25) == pytest.approx(0.25)
    assert log_axis([1, 100]).share(10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (2, "2"),
        (1500, "1,500"),
        (100_000, "100,000"),
        (2_000_000, "2e+06"),
        (0.0005, "0.0005"),
        (0.00002, "2e-05"),
        (-50, "-50"),
    ],
)
def test_labels_are_short(value: float, label: str) -> None:
    assert tick_label(value) == label
