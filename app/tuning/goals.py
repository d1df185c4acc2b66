"""What is wanted, and which batch sizes serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.tuning.records import Curve, Point

GoalName = Literal["balanced", "latency", "throughput", "target"]

NEARLY = 0.95
"""Of the most images per second counts as the most: of two networks that are the same, the medians
of several rounds on a shared machine differ by as much."""

_ENOUGH = 0.8
"""Of the most images per second, where latency is what is wanted: on CPUs a quarter of the batch
size brings that."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted.

    Attributes:
        name: ``balanced``: most images per second, and of the batch sizes that bring nearly that
            the smallest. ``throughput``: most images per second, whatever a request waits.
            ``latency``: a lone image is answered fastest. ``target``: most images per second while
            no request waits longer than ``target_s``.
        target_s: Of ``target`` only.
    """

    name: GoalName = "balanced"
    target_s: float | None = None

    def score(self, curve: Curve) -> float:
        """Return how well a candidate serves it; more is better. The curve has a point."""
        points = curve.points
        if self.name == "latency":
            return 1 / points[0].p50_s
        within = self.within_target(points)
        if not within:  # below everything that keeps to it, and the fastest first
            return -points[0].p50_s
        return max(point.images_per_s for point in within)

    def within_target(self, points: Sequence[Point]) -> Sequence[Point]:
        """Return the points that keep a request under the target; all where there is none."""
        if self.target_s is None:
            return points
        return [point for point in points if point.longest_wait_s <= self.target_s]

    def best_point(self, curve: Curve, present_size: int) -> Point:
        """Return the batch size that should be the largest.

        What is measured is the network alone. A server whose batches are all too small to share
        the processor executes one after the other, and has a seventh less images per second beside
        HTTP and decoding; so where images per second are wanted, it is none of those.

        Args:
            curve: Of one candidate, with a point.
            present_size: The largest one as it is set now.
        """
        points = curve.points
        within = self.within_target(points)
        if not within:
            return points[0]
        most = max(point.images_per_s for point in within)
        share = _ENOUGH if self.name == "latency" else NEARLY
        good = [point for point in within if point.images_per_s >= share * most]
        if self.name in ("balanced", "throughput"):
            good = [point for point in good if point.batch_size >= curve.shared_from] or good
        if self.name == "throughput":
            # Nothing is won by another one.
            good.sort(key=lambda point: point.batch_size != present_size)
        return good[0]


def useful_sizes(points: Sequence[Point], largest: int) -> tuple[int, ...]:
    """Return the batch sizes that the device should see.

    Left out is a size whose batches take as long as those of the next larger one: padding up to
    that costs nothing, and one shape less is warmed up. A lone image is never padded.

    Args:
        points: Of one candidate, ascending.
        largest: One of their batch sizes, the last of the result.
    """
    kept: list[Point] = []
    for point in reversed([point for point in points if point.batch_size <= largest]):
        if not kept or point.batch_size == 1 or point.p50_s < NEARLY * kept[-1].p50_s:
            kept.append(point)
    return tuple(point.batch_size for point in reversed(kept))
