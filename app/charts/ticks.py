"""Where an axis begins, ends and is labelled: at numbers that people count in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MOST_LINEAR = 7
_MOST_LOGARITHMIC = 8
"""Labels that stand apart on an axis of some 300 px."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of numbers on a stretch of the picture.

    Attributes:
        low: Where it begins; above 0 if it is logarithmic.
        high: Where it ends, above ``low``.
        ticks: What is labelled, ascending, from ``low`` to ``high``.
        is_log: Whether equal factors, not equal differences, have equal lengths.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return how far along the axis a value stands: 0 at ``low``, 1 at ``high``."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(values: Sequence[float]) -> Axis:
    """Return an axis from 0, or from below the least value if that is negative.

    Args:
        values: Finite; may be empty.
    """
    least, most = min(values, default=0.0), max(values, default=1.0)
    least, most = min(least, 0.0), max(most, 0.0)
    if least == most:
        most = 1.0
    step = _nice_step((most - least) / (_MOST_LINEAR - 1))
    first, last = math.floor(least / step), math.ceil(most / step)
    # Products, not sums, which drift: 0.30000000000000004.
    ticks = tuple(_rounded(index * step) for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def log_axis(values: Sequence[float]) -> Axis:
    """Return an axis between numbers that begin with 1, 2 or 5.

    Args:
        values: Finite and above 0; may be empty.
    """
    least, most = min(values, default=1.0), max(values, default=10.0)
    decades = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    marks = [_rounded(digit * 10.0**decade) for decade in decades for digit in (1, 2, 5)]
    first = max(index for index, mark in enumerate(marks) if mark <= least)
    last = min(index for index, mark in enumerate(marks) if mark >= most)
    last = max(last, first + 1)
    ticks = marks[first : last + 1]
    if len(ticks) > _MOST_LOGARITHMIC:
        ticks = [mark for mark in ticks if f"{mark:e}".startswith("1.0")]
        ticks = ticks[:: math.ceil(len(ticks) / _MOST_LOGARITHMIC)]
    return Axis(marks[first], marks[last], tuple(ticks), is_log=True)


def tick_label(value: float) -> str:
    """Return a number as short as it can be read: 0, 0.25, 1,500, 2e+06."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.10g}"
    return f"{value:.3g}"


def _nice_step(least: float) -> float:
    """Return the smallest step of 1, 2, 2.5 or 5 times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(least))
    # A hair's breadth of tolerance: 0.1 / 10**-1 is above 1 in binary.
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")
