"""What the benchmark has to show of Keraserve, and whether it did: two cores, CIFAR-10."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.entry_list import DEFAULT, PEER_NAMES, TENSORFLOW
from benchmarks.load.measurement import Measurement
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
    default = tournament.of(MODEL, DEFAULT)
    return [
        _against_best(
            tournament, "64 clients: images/s", DEFAULT, MANY, "images_per_s", 2.0, at_least=True
        ),
        _against_best(
            tournament,
            "64 clients, TensorFlow float32: images/s",
            TENSORFLOW,
            MANY,
            "images_per_s",
            1.15,
            at_least=True,
        ),
        _against_best(tournament, "1 client: p50", DEFAULT, 1, "p50_ms", 0.25, at_least=False),
        _against_best(tournament, "64 clients: p99", DEFAULT, MANY, "p99_ms", 0.6, at_least=False),
        Goal(
            "64 clients: images/s against the bound",
            0.80,
            True,
            _over(default, lambda v: v.closed[MANY].images_per_s / _known(v.bound_per_s)),
            remark="decode and execute in one process, no HTTP",
        ),
        Goal(
            "open loop at 3 × capacity: answers in time per second, against the peak",
            0.90,
            True,
            _over(
                default,
                lambda v: _figure(v.open.get(OVERLOAD), "in_deadline_per_s") / v.capacity_per_s,
            ),
            remark="the peak is the best closed loop of the same visit",
        ),
        Goal(
            "there, refused requests: p99 of the time to the 429",
            10,
            False,
            _over(default, lambda v: _figure(v.open.get(OVERLOAD), "refused_p99_ms")),
            " ms",
        ),
        Goal(
            "process start to first answered classification",
            2.5,
            False,
            _over(default, lambda v: v.first_answer_s),
            " s",
        ),
        Goal(
            "memory after 10,000 requests",
            350,
            False,
            _over(default, lambda v: _known(v.memory_10k_mib)),
            " MiB",
            "proportional set size",
        ),
        Goal(
            "idle CPU, of a core",
            1,
            False,
            spread(v.idle_cores * 100 for v in default if v.idle_cores is not None),
            " %",
        ),
        Goal(
            "1 client: server's overhead beyond decode and execute",
            1,
            False,
            _over(default, lambda v: _known(v.overhead_ms)),
            " ms",
            "as the client sees it",
        ),
    ]


def best_peer(tournament: Tournament, clients: int, figure: str, *, at_least: bool) -> str | None:
    """Return the peer with the best median of a figure; None if there is none."""
    found = {
        name: tournament.closed(MODEL, name, clients, figure).middle
        for name in tournament.contestants
        if name in PEER_NAMES
    }
    known = {name: value for name, value in found.items() if not math.isnan(value)}
    if not known:
        return None
    return (max if at_least else min)(known, key=lambda name: known[name])


def _against_best(
    tournament: Tournament,
    what: str,
    ours: str,
    clients: int,
    figure: str,
    limit: float,
    *,
    at_least: bool,
) -> Goal:
    peer = best_peer(tournament, clients, figure, at_least=at_least)
    if peer is None:
        return Goal(what, limit, at_least, spread([]), " ×", "no peer was measured")
    theirs = {visit.round: visit for visit in tournament.of(MODEL, peer)}
    ratios = [
        getattr(visit.closed[clients], figure)
        / getattr(theirs[visit.round].closed[clients], figure)
        for visit in tournament.of(MODEL, ours)
        if visit.round in theirs
    ]
    return Goal(what, limit, at_least, spread(ratios), " ×", f"against {peer}, the best peer there")


def _over(visits: Iterable[Visit], value: Callable[[Visit], float]) -> Spread:
    known = (value(visit) for visit in visits)
    return spread(found for found in known if not math.isnan(found))


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _figure(load: Measurement | None, name: str) -> float:
    value = None if load is None else getattr(load, name)
    return math.nan if value is None else float(value)
