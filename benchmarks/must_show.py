"""What the benchmark has to show of Keraserve, and whether it did: two cores, CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.entry_list import DEFAULT, PEER_NAMES, TENSORFLOW
from benchmarks.report import Spread, number, spread
from benchmarks.visits import Tournament, Visit

MODEL = "cifar10"
MANY, OVERLOAD = 64, 3.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of what must be shown.

    Attributes:
        what: The figure in words.
        limit: The target.
        at_least: Whether more is better.
        found: Median of the rounds and range; NaN where nothing was measured.
        unit: Of limit and figure.
        remark: Against whom, or how.
    """

    what: str
    limit: float
    at_least: bool
    found: Spread
    unit: str = ""
    remark: str = ""

    @property
    def word(self) -> str:
        """``reached``, ``**missed**`` or ``not measured``."""
        if math.isnan(self.found.middle):
            return "not measured"
        value = self.found.middle
        is_reached = value >= self.limit if self.at_least else value <= self.limit
        return "reached" if is_reached else "**missed**"

    def cells(self) -> list[str]:
        """Return the line's cells."""
        sign = "≥" if self.at_least else "≤"
        target = f"{sign} {self.limit:g}{self.unit}"
        measured = f"{self.found}{self.unit}" if number(self.found.middle) != "-" else "-"
        return [self.what, self.remark, target, measured, self.word]


def goals(tournament: Tournament) -> list[Goal]:
    """Return all of them, in the order of the issue that set them."""
    return [*_against_peers(tournament), *_alone(tournament.of(MODEL, DEFAULT))]


def _against_peers(tournament: Tournament) -> list[Goal]:
    many = f"{MANY} clients"
    return [
        _against_best(tournament, f"{many}: images/s", DEFAULT, _Figure(MANY, "images_per_s"), 2.0),
        _against_best(
            tournament,
            f"{many}, TensorFlow float32: images/s",
            TENSORFLOW,
            _Figure(MANY, "images_per_s"),
            1.15,
        ),
        _against_best(tournament, "1 client: p50", DEFAULT, _Figure(1, "p50_ms"), 0.25),
        _against_best(tournament, f"{many}: p99", DEFAULT, _Figure(MANY, "p99_ms"), 0.6),
    ]


def _alone(visits: list[Visit]) -> list[Goal]:
    def over(value: Callable[[Visit], float]) -> Spread:
        return spread(found for found in map(value, visits) if not math.isnan(found))

    def overload(figure: str) -> Callable[[Visit], float]:
        return lambda visit: _known(getattr(visit.open.get(OVERLOAD), figure, None))

    to_bound = over(lambda v: v.closed[MANY].images_per_s / _known(v.bound_per_s))
    in_time = over(lambda v: overload("in_deadline_per_s")(v) / v.capacity_per_s)
    idle = over(lambda v: _known(v.idle_cores) * 100)
    memory = over(lambda v: _known(v.memory_10k_mib))
    return [
        Goal(
            f"{MANY} clients: images/s against the bound",
            *(0.80, True, to_bound),
            remark="decode and execute in one process, no HTTP",
        ),
        Goal(
            "open loop at 3 × capacity: answers in time per second, against the peak",
            *(0.90, True, in_time),
            remark="the peak is the best closed loop of the same visit",
        ),
        Goal(
            "there, refused requests: p99 of the time to the 429",
            *(10, False, over(overload("refused_p99_ms")), " ms"),
        ),
        Goal(
            "process start to first answered classification",
            *(2.5, False, over(lambda v: v.first_answer_s), " s"),
        ),
        Goal(
            "memory after 10,000 requests",
            *(350, False, memory, " MiB", "proportional set size"),
        ),
        Goal("idle CPU, of a core", 1, False, idle, " %"),
        Goal(
            "1 client: server's overhead beyond decode and execute",
            *(1, False, over(lambda v: _known(v.overhead_ms)), " ms", "as the client sees it"),
        ),
    ]


class _Figure(NamedTuple):
    clients: int
    name: str

    @property
    def is_better_high(self) -> bool:
        return self.name == "images_per_s"


def best_peer(
    tournament: Tournament, clients: int, figure: str, *, is_better_high: bool
) -> str | None:
    """Return the peer with the best median of a figure; None if there is none."""
    found = {
        name: tournament.closed(MODEL, name, clients, figure).middle
        for name in tournament.contestants
        if name in PEER_NAMES
    }
    known = {name: value for name, value in found.items() if not math.isnan(value)}
    if not known:
        return None
    return (max if is_better_high else min)(known, key=lambda name: known[name])


def _against_best(
    tournament: Tournament, what: str, ours: str, figure: _Figure, limit: float
) -> Goal:
    better = figure.is_better_high
    clients, name = figure
    peer = best_peer(tournament, clients, name, is_better_high=better)
    if peer is None:
        return Goal(what, limit, better, spread([]), " ×", "no peer was measured")
    theirs = {visit.round: visit for visit in tournament.of(MODEL, peer)}
    ratios = [
        getattr(visit.closed[clients], name) / getattr(theirs[visit.round].closed[clients], name)
        for visit in tournament.of(MODEL, ours)
        if visit.round in theirs
    ]
    return Goal(what, limit, better, spread(ratios), " ×", f"against {peer}, the best peer there")


def _known(value: float | None) -> float:
    return math.nan if value is None else value
