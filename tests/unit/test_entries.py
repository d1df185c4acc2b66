"""How durations are written."""

from __future__ import annotations

import random

import pytest

from app.api.entries import in_ms


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0.0, 0.0), (0.0000004, 0.0), (0.0123456, 12.346), (2.5, 2500.0)]
)
def test_milliseconds_are_rounded_to_the_microsecond(seconds: float, ms: float) -> None:
    assert in_ms(seconds) == ms


def test_milliseconds_are_those_that_rounding_gives() -> None:
    chance = random.Random(1)
    for _ in range(1000):
        seconds = chance.uniform(0, 30)
        assert in_ms(seconds) == pytest.approx(round(seconds * 1000, 3), abs=0.00101)
        assert in_ms(seconds) == round(in_ms(seconds), 3)
