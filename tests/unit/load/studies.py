"""Measurements made by hand."""

from __future__ import annotations

import math
from typing import Any

from app.load.counters import Spent
from app.load.recorder import LoadResult
from app.load.study import Point

SPENT = Spent(batch_size=7.5, padding=0.1, decode_ms=0.2, queue_ms=1.25, execute_ms=5.0)


def result(offered_per_s: float, in_time_per_s: float | None = None, **changes: Any) -> LoadResult:
    """A window of 2 s in which all is answered, unless told otherwise."""
    in_time_per_s = offered_per_s if in_time_per_s is None else in_time_per_s
    fields: dict[str, Any] = {
        "seconds": 2.0,
        "offered_per_s": offered_per_s,
        "images_per_s": in_time_per_s,
        "in_deadline_per_s": in_time_per_s,
        "p50_ms": 10.0,
        "p90_ms": 15.0,
        "p95_ms": 20.0,
        "p99_ms": 40.0,
        "refused_p50_ms": math.nan,
        "refused_p99_ms": math.nan,
        "late_p99_ms": 0.0,
        "max_outstanding": 3,
        "outcomes": {"200": round(in_time_per_s * 2)},
    }
    return LoadResult(**fields | changes)


def closed(clients: int, images_per_s: float, spent: Spent | None = SPENT, **changes: Any) -> Point:
    return Point(clients, None, result(images_per_s, **changes), spent)


def opened(
    rate_per_s: float,
    in_time_per_s: float | None = None,
    spent: Spent | None = SPENT,
    **changes: Any,
) -> Point:
    return Point(None, rate_per_s, result(rate_per_s, in_time_per_s, **changes), spent)
