"""What a visit to one server found, and the file that keeps all of them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load.measurement import Measurement
from benchmarks.report import Spread, spread

TITLES = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}


@dataclass(slots=True)
class Visit:
    """One server, started afresh, measured under every load, stopped.

    Attributes:
        model: What it served.
        contestant: Its name.
        round: From 1.
        first_answer_s: From the start of its process to its first classification.
        agreeing: Pictures, of ``pictures``, whose best label is the reference's.
        pictures: Pictures compared.
        processes: How many it consists of.
        closed: Closed loops, by number of clients.
        open: Open loops, by offered rate as a multiple of its own best closed loop.
        memory_mib: Proportional set size of all its processes after the closed loops.
        memory_10k_mib: The same after 10,000 requests at least; only of Keraserve.
        idle_cores: CPU seconds per second without requests; only in the first round.
        overhead_ms: Of a lone request: what the client waited beyond decoding and executing, as
            the answer tells them, median; only of Keraserve.
        bound_per_s: Decoding and executing in one process without HTTP, images/s; only of
            Keraserve's engines.
        broke: Why not all open loops were measured; empty if they were.
    """

    model: str
    contestant: str
    round: int
    first_answer_s: float
    agreeing: int
    pictures: int
    processes: int = 0
    closed: dict[int, Measurement] = field(default_factory=dict)
    open: dict[float, Measurement] = field(default_factory=dict)
    memory_mib: float | None = None
    memory_10k_mib: float | None = None
    idle_cores: float | None = None
    overhead_ms: float | None = None
    bound_per_s: float | None = None
    broke: str = ""

    @property
    def capacity_per_s(self) -> float:
        """Images/s of the best closed loop."""
        return max(load.images_per_s for load in self.closed.values())


@dataclass(slots=True)
class Tournament:
    """Everything that was measured.

    Attributes:
        facts: Machine, date, command, lengths: lines for the report.
        commands: How each contestant was started, by name.
        versions: What the peers run on, by name.
        failures: Why a contestant is not, or no longer, part of it, by name.
        ceiling_per_s: The load generator against a server that computes nothing.
        visits: In the order of measuring.
    """

    facts: list[str] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ceiling_per_s: float = 0.0
    visits: list[Visit] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """Served models, in the order of measuring."""
        return list(dict.fromkeys(visit.model for visit in self.visits))

    @property
    def contestants(self) -> list[str]:
        """Names in the order of the commands, of those with at least one visit."""
        seen = {visit.contestant for visit in self.visits}
        return [name for name in self.commands if name in seen]

    def of(self, model: str, contestant: str) -> list[Visit]:
        """Return the visits of one contestant, by round."""
        found = [v for v in self.visits if (v.model, v.contestant) == (model, contestant)]
        return sorted(found, key=lambda visit: visit.round)

    def closed(self, model: str, contestant: str, clients: int, figure: str) -> Spread:
        """Return a figure of a closed loop over the rounds."""
        loads = (visit.closed.get(clients) for visit in self.of(model, contestant))
        return spread(getattr(load, figure) for load in loads if load is not None)

    def open(self, model: str, contestant: str, multiple: float, figure: str) -> Spread:
        """Return a figure of an open loop over the rounds."""
        loads = (visit.open.get(multiple) for visit in self.of(model, contestant))
        return spread(getattr(load, figure) for load in loads if load is not None)

    def figure(self, model: str, contestant: str, name: str) -> Spread:
        """Return a figure of the visits themselves, those that have it."""
        values = (getattr(visit, name) for visit in self.of(model, contestant))
        return spread(value for value in values if value is not None)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(dataclasses.asdict(self)) + "\n", encoding="utf-8")
        draft.replace(path)


def load_tournament(path: Path) -> Tournament:
    """Read what ``save`` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    visits = []
    for visit in content.pop("visits"):
        closed = {int(n): Measurement(**load) for n, load in visit.pop("closed").items()}
        opened = {float(m): Measurement(**load) for m, load in visit.pop("open").items()}
        visits.append(Visit(closed=closed, open=opened, **visit))
    return Tournament(visits=visits, **content)
