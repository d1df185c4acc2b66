"""When the requests of an open loop are due."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

ARRIVALS = ("poisson", "constant")

SEED = 20
"""The same arrivals in every measurement of a rate, so that two servers meet the same bursts."""


def arrivals(rate_per_s: float, kind: str = "poisson", seed: int = SEED) -> Iterator[float]:
    """Yield the times at which requests are due, seconds from the start, without end.

    Args:
        rate_per_s: Mean rate, above 0.
        kind: ``poisson``: independent users, the intervals are exponentially distributed;
            ``constant``: one request every ``1 / rate_per_s`` seconds.
        seed: Of the intervals; without effect on constant ones.
    """
    if kind == "constant":
        return (number / rate_per_s for number in itertools.count(1))
    draw = random.Random(seed).expovariate
    return itertools.accumulate(draw(rate_per_s) for _ in itertools.repeat(None))
