"""Keraserve's own ``/metrics`` as numbers, and what lies between two readings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass


def parse_totals(text: str) -> dict[str, float]:
    """Return every sample of the Prometheus text format, summed over its labels."""
    totals: dict[str, float] = defaultdict(float)
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        # Label values may hold spaces and braces; the value follows the last closing brace.
        value = line[len(name) :].rpartition("}")[2].split()[0]
        totals[name] += float(value)
    return dict(totals)


@dataclass(frozen=True, slots=True)
class Spent:
    """What happened in the server between two readings: means, NaN where nothing was counted.

    Attributes:
        batch_size: Images per execution.
        padding: Rows of filling among the rows executed, 0..1.
        decode_ms: Per image; queue delay likewise.
        execute_ms: Per execution.
    """

    batch_size: float
    padding: float
    decode_ms: float
    queue_ms: float
    execute_ms: float


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> Spent:
    """Return the means between two results of ``parse_totals``."""

    def change(name: str) -> float:
        return after.get(f"keraserve_{name}", 0.0) - before.get(f"keraserve_{name}", 0.0)

    def mean(histogram: str) -> float:
        count = change(f"{histogram}_count")
        return change(f"{histogram}_sum") / count if count else math.nan

    padded = change("padded_images_total")
    rows = padded + change("batch_size_sum")

    return Spent(
        batch_size=mean("batch_size"),
        padding=padded / rows if rows else math.nan,
        decode_ms=mean("decode_duration_seconds") * 1e3,
        queue_ms=mean("queue_delay_seconds") * 1e3,
        execute_ms=mean("execution_duration_seconds") * 1e3,
    )
