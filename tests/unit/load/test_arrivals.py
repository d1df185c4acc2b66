"""When the requests of an open loop are due."""

from __future__ import annotations

import itertools

import pytest

from app.load.arrivals import arrivals


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(itertools.islice(arrivals(4, "constant"), 4)) == [0.25, 0.5, 0.75, 1.0]


def test_poisson_arrivals_are_the_same_every_time_and_different_by_seed() -> None:
    first, again, other = (
        list(itertools.islice(arrivals(100, seed=seed), 50)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first == sorted(first)


def test_poisson_arrivals_keep_their_rate_and_come_in_bursts() -> None:
    times = list(itertools.islice(arrivals(100), 10_000))
    assert times[-1] == pytest.approx(100, rel=0.05)
    intervals = [b - a for a, b in itertools.pairwise([0.0, *times])]
    # Of an exponential distribution: 1 - 1/e below the mean, 1/e² above twice the mean.
    assert sum(i < 0.01 for i in intervals) / 10_000 == pytest.approx(0.632, abs=0.02)
    assert sum(i > 0.02 for i in intervals) / 10_000 == pytest.approx(0.135, abs=0.02)
