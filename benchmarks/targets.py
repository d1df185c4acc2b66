"""What the comparison has to show, and whether it did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from benchmarks.comparison import Comparison
from benchmarks.report import number, ratios, spread

OURS = "keraserve"
MANY_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target beside what was measured.

    Attributes:
        text: What was measured, with the range over the rounds.
        target: The condition, as text.
        met: None where nothing was measured.
    """

    text: str
    target: str
    met: bool | None

    @property
    def word(self) -> str:
        """``met``, ``MISSED`` or ``not measured``."""
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]

    def __str__(self) -> str:
        """Return the word, what was found and what was wanted."""
        return f"{self.word}: {self.text} (target: {self.target})"


def verdicts(comparison: Comparison) -> list[Verdict]:
    """Return the targets of Keraserve; those against the peer only where both were measured."""
    if OURS not in comparison.servers:
        return []
    found = [*_ratio_verdicts(comparison)] if len(comparison.servers) == 2 else []
    if OURS in comparison.idle_cores:
        share = comparison.idle_cores[OURS] * 100
        found.append(Verdict(f"idle CPU of one core: {number(share)} %", "< 1 %", share < 1))
    return found + _batching_verdicts(comparison)


def _ratio_verdicts(comparison: Comparison) -> list[Verdict]:
    many = spread(ratios(comparison, MANY_CLIENTS, "images_per_s"))
    lone = spread(ratios(comparison, 1, "p50_ms"))
    return [
        Verdict(
            f"{MANY_CLIENTS} clients, images/s ratio: {many}",
            "≥ 1.0",
            _unless_unknown(many.middle, many.middle >= 1.0),
        ),
        Verdict(
            f"1 client, p50 ratio: {lone}",
            "≤ 0.6",
            _unless_unknown(lone.middle, lone.middle <= 0.6),
        ),
    ]


def _batching_verdicts(comparison: Comparison) -> list[Verdict]:
    crowd, lone = (
        [run.spent for run in comparison.of(OURS, clients) if run.spent is not None]
        for clients in (MANY_CLIENTS, 1)
    )
    found = []
    if crowd:
        size = median(spent.batch_size for spent in crowd)
        text = f"{MANY_CLIENTS} clients, mean batch: {number(size)}"
        found.append(Verdict(text, "> 8", _unless_unknown(size, size > 8)))
    if lone:
        size = median(spent.batch_size for spent in lone)
        text = f"1 client, mean batch: {number(size)}"
        found.append(Verdict(text, "1", _unless_unknown(size, size == 1)))
        delay = median(spent.queue_ms for spent in lone)
        text = f"1 client, mean queue delay: {number(delay)} ms"
        found.append(Verdict(text, "< 1 ms", _unless_unknown(delay, delay < 1)))
    return found


def _unless_unknown(value: float, met: bool) -> bool | None:
    return None if math.isnan(value) else met
