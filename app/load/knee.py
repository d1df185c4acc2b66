"""Up to which rate a server holds what it promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHARE = 0.99
"""Of the requests, that have to be answered in time."""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where a server stops to keep up.

    A rate *holds* if at least 99 % of the requests that were due at it were answered 200 within the
    deadline: refused, failed, late and unsent ones all count against it, and its p99 is then within
    the deadline as well. The knee is the highest measured rate that holds and below which every
    measured rate holds.

    That is the metric of the Server scenario of MLPerf Inference (Reddi et al., *MLPerf Inference
    Benchmark*, ISCA 2020, arXiv:1911.02549): the highest rate of Poisson arrivals at which the 99th
    percentile stays within a bound. Rules that look for the bend of the curve alone, such as
    Kneedle (Satopää et al., 2011), need no deadline, but move with the range that is measured.

    Attributes:
        rate_per_s: The knee; None if the lowest rate does not hold.
        failing_per_s: The lowest measured rate above it, which does not hold; None if all hold.
    """

    rate_per_s: float | None
    failing_per_s: float | None

    @property
    def between(self) -> float | None:
        """The rate whose measurement would narrow it down; None where it is open at one end."""
        if self.rate_per_s is None or self.failing_per_s is None:
            return None
        return (self.rate_per_s + self.failing_per_s) / 2


def share_in_time(offered_per_s: float, in_deadline_per_s: float) -> float:
    """Return the share of the requests that were answered 200 within the deadline, 0..1."""
    return in_deadline_per_s / offered_per_s if offered_per_s else 0.0


def find_knee(shares: Iterable[tuple[float, float]]) -> Knee:
    """Find the knee.

    Args:
        shares: Rate per second, and the share of its requests that were answered in time, 0..1; in
            any order.
    """
    held = None
    for rate_per_s, share in sorted(shares):
        if share < SHARE:
            return Knee(held, rate_per_s)
        held = rate_per_s
    return Knee(held, None)
