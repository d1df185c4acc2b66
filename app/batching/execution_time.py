"""How long the next execution will take: learned from those before. Pure, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

ENOUGH_EXECUTIONS = 8
"""Before so many, nothing is known: the first ones are slow for reasons of their own."""

WINDOW = 8
"""Durations kept of each size: a hiccup is one of eight, a slower machine soon all of them."""

MEMORY = 0.95
"""Weight of a size per execution of another one: what was long ago must not contradict for long."""

KEPT = 100
"""Executions after which a size that was not seen is forgotten.

What is expected of it may be the very reason why it is not seen any more: nobody would be accepted
whose batch could show that it is wrong.
"""


@dataclass(slots=True)
class _Size:
    """What is known of one size."""

    durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    last_seen: int = 0  # the number of the execution

    def typical_s(self) -> float:
        """Return the mean without the longest one."""
        kept = sorted(self.durations_s)[: max(1, len(self.durations_s) - 1)]
        return sum(kept) / len(kept)


class ExecutionTime:
    """Expects ``a·n + b`` seconds of an execution of n images; owned by the event loop.

    n counts what the device computes, padding included: 5 images in a batch of 8 take as long as 8.

    After each execution a line is drawn through the typical durations of the sizes seen, by
    weighted least squares with exponential forgetting. Such a regression of the latency on the
    batch size sizes the batches of Clipper (Crankshaw et al., NSDI 2017, section 4.3) and of
    BentoML's ``CorkDispatcher``. Two things differ from those, because a wrong line refuses people
    here and does not only delay them. The typical duration leaves out the longest of the last eight
    of its size: a first slow execution, or a moment in which the machine was busy elsewhere, moves
    nothing. And a size is one point however often it came: thousands of lone images do not outweigh
    a large batch.

    As long as one size alone was seen of late, the others are expected to take as long: of larger
    ones this is too little, and the first of them corrects it.
    """

    __slots__ = ("_executions", "_fixed_s", "_per_image_s", "_sizes")

    def __init__(self) -> None:
        """Know nothing."""
        self._sizes: dict[int, _Size] = {}
        self._executions = 0
        self._per_image_s = 0.0
        self._fixed_s = 0.0

    @property
    def is_known(self) -> bool:
        """Whether enough executions were seen to refuse anybody by them."""
        return self._executions >= ENOUGH_EXECUTIONS

    @property
    def per_image_s(self) -> float:
        """The line's ``a``, s per image, at least 0."""
        return self._per_image_s

    @property
    def fixed_s(self) -> float:
        """The line's ``b``, s, at least 0."""
        return self._fixed_s

    def expected_s(self, size: int) -> float:
        """Return how long an execution of ``size`` images, padding included, is expected to take.

        0 where nothing was seen.
        """
        return self._per_image_s * size + self._fixed_s

    def observe(self, size: int, duration_s: float) -> None:
        """Learn from one execution of ``size`` images, padding included."""
        self._executions += 1
        known = self._sizes.setdefault(size, _Size())
        known.durations_s.append(duration_s)
        known.last_seen = self._executions
        points = []
        for each, seen in list(self._sizes.items()):
            age = self._executions - seen.last_seen
            if age > KEPT:
                del self._sizes[each]
                continue
            weight = len(seen.durations_s) * MEMORY**age
            points.append((float(each), seen.typical_s(), weight))
        self._per_image_s, self._fixed_s = fit_line(points)


def fit_line(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return ``a`` and ``b`` of the line ``a·x + b`` through weighted points, neither below 0.

    Args:
        points: x above 0, y, and weight, at least one. No weight may be 0 but by underflow.

    Returns:
        The least squares; where they would need a negative ``a``, the mean; where they would need
        a negative ``b``, the least squares through the origin.
    """
    weight = sum(w for _, _, w in points)
    mean_x = sum(w * x for x, _, w in points) / weight
    mean_y = sum(w * y for _, y, w in points) / weight
    spread = sum(w * (x - mean_x) ** 2 for x, _, w in points)
    if spread <= 0:
        return 0.0, mean_y
    slope = sum(w * (x - mean_x) * (y - mean_y) for x, y, w in points) / spread
    if slope <= 0:
        return 0.0, mean_y
    fixed = mean_y - slope * mean_x
    if fixed < 0:
        return sum(w * x * y for x, y, w in points) / sum(w * x * x for x, _, w in points), 0.0
    return slope, fixed
