from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.artifacts.statistics import images_needed
from app.drift.stability import stability_index

MANY = 10**9  # reference images, so many that they are exact


def flat(bins: int) -> NDArray[np.float64]:
    return np.full(bins, 1 / bins)


def skewed(bins: int) -> NDArray[np.float64]:
    """The second class is half as frequent as the first, and so on: Zipf's law."""
    weights = 1 / np.arange(1, bins + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def counts(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def test_index_is_the_textbook_sum_where_images_are_plenty() -> None:
    shares, now = np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.3, 0.4])

    index = stability_index((now * MANY).astype(np.int64), shares, MANY)

    textbook = float(np.sum((now - shares) * np.log(now / shares)))
    assert index == pytest.approx(textbook, abs=1e-6)
    assert textbook == pytest.approx(0.0629, abs=1e-4)


@pytest.mark.parametrize(
    ("observed", "shares", "low", "high"),
    [
        pytest.param(counts(*[100] * 10), flat(10), 0, 0, id="the same"),
        pytest.param(counts(104, 96, 99, 101, *[100] * 6), flat(10), 0, 0, id="nearly the same"),
        pytest.param(counts(160, 40, 160, 40, *[100] * 6), flat(10), 0.1, 0.25, id="worth a look"),
        pytest.param(counts(300, 200, *[62] * 8), flat(10), 0.25, 1, id="shifted"),
        pytest.param(counts(1000, *[0] * 9), flat(10), 5, 20, id="all in one bin"),
        pytest.param(counts(0, 1000), np.array([1.0, 0.0]), 5, 30, id="all where nothing was"),
        pytest.param(counts(1000, 0), np.array([1.0, 0.0]), 0, 0, id="nothing where nothing was"),
    ],
)
def test_index_says_how_far_the_window_is(
    observed: NDArray[np.int64], shares: NDArray[np.float64], low: float, high: float
) -> None:
    assert low <= stability_index(observed, shares, 45_000) <= high


SHAPES = [
    pytest.param(flat(2), id="two bins"),
    pytest.param(flat(10), id="ten bins"),
    pytest.param(flat(40), id="forty classes"),
    pytest.param(skewed(40), id="forty classes, most of them rare"),
    pytest.param(flat(100), id="a hundred classes"),
    pytest.param(skewed(100), id="a hundred classes, most of them rare"),
    pytest.param(flat(1000), id="a thousand classes"),
    pytest.param(skewed(1000), id="a thousand classes, most of them rare"),
]


def shown(
    now: NDArray[np.float64], shares: NDArray[np.float64], reference: int | None = None
) -> NDArray[np.float64]:
    """The index of 200 shortest windows, each against a reference drawn anew.

    ``reference``: its images; as few as may be where it is None.
    """
    random = np.random.default_rng(2)
    images = images_needed(len(shares))
    reference = reference or images
    return np.array(
        [
            stability_index(
                random.multinomial(images, now),
                random.multinomial(reference, shares) / reference,
                reference,
            )
            for _ in range(200)
        ]
    )


@pytest.mark.parametrize("reference", [None, 5000, 100_000])
@pytest.mark.parametrize("shares", SHAPES)
def test_chance_alone_hardly_ever_raises_an_alarm(
    shares: NDArray[np.float64], reference: int | None
) -> None:
    indices = shown(shares, shares, reference)

    assert np.quantile(indices, 0.99) < 0.25, "the alarm"
    assert np.quantile(indices, 0.85) < 0.1, "worth a look"
    assert np.mean(indices) < 0.06


@pytest.mark.parametrize("reference", [None, 100_000])
@pytest.mark.parametrize("bins", [2, 10, 40, 100, 1000])
def test_a_change_shows_as_what_it_is_in_the_shortest_window(
    bins: int, reference: int | None
) -> None:
    shares = flat(bins)
    halved = np.concatenate([shares[: bins // 2] * 1.5, shares[bins // 2 :] * 0.5])
    textbook = float(np.sum((halved - shares) * np.log(halved / shares)))
    assert textbook == pytest.approx(0.275, abs=0.001), "an alarm, but no loud one"

    assert 0.83 < np.mean(shown(halved, shares, reference)) / textbook < 1.05


@pytest.mark.parametrize("reference", [None, 100_000])
def test_a_change_among_rare_classes_shows_too(reference: int | None) -> None:
    shares = skewed(1000)
    fewer = np.concatenate([shares[:100], shares[100:] * 0.1])
    fewer /= fewer.sum()
    textbook = float(np.sum((fewer - shares) * np.log(fewer / shares)))
    assert textbook == pytest.approx(0.609, abs=0.001)

    assert 0.42 < np.mean(shown(fewer, shares, reference)) < textbook
