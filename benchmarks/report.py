"""What was measured, as tables, ratios and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.comparison import Comparison, Run


@dataclass(frozen=True, slots=True)
class Table:
    """Cells under a title; the first column is text, the others are numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_text(self) -> str:
        """Return it with aligned columns, for a terminal."""
        widths = [max(len(line[i]) for line in (self.head, *self.rows)) for i in self._columns]
        lines = [self.title]
        for cells in (self.head, ["-" * width for width in widths], *self.rows):
            first = cells[0].ljust(widths[0])
            rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
            lines.append("  ".join((first, *rest)).rstrip())
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """Return it as a GitHub table."""
        ruler = ["---", *("--:" for _ in self.head[1:])]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.head, ruler, *self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(lines)

    @property
    def _columns(self) -> range:
        return range(len(self.head))


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    middle: float
    least: float
    most: float

    def __str__(self) -> str:
        """Return the median with the range behind it; ``-`` if it is unknown."""
        if math.isnan(self.middle):
            return "-"
        return f"{number(self.middle)} ({number(self.least)} to {number(self.most)})"


def spread(values: Iterable[float]) -> Spread:
    """Return median, least and most; NaN if there is nothing or one of them is unknown."""
    known = list(values)
    if not known or any(math.isnan(value) for value in known):
        return Spread(math.nan, math.nan, math.nan)
    return Spread(median(known), min(known), max(known))


def number(value: float) -> str:
    """Return three significant digits or all whole ones: 1,234  12.3  0.0123; ``-`` for NaN."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def ratios(comparison: Comparison, clients: int, figure: str) -> list[float]:
    """Return first server over second of one figure, round by round: drift hits both alike."""
    first, second = (comparison.of(server, clients) for server in comparison.servers)
    return [
        getattr(a.load, figure) / getattr(b.load, figure)
        for a, b in zip(first, second, strict=True)
    ]


_FIGURES = {
    "images/s": "images_per_s",
    "p50 ms": "p50_ms",
    "p90 ms": "p90_ms",
    "p99 ms": "p99_ms",
    "CPU ms/image": "cpu_ms_per_image",
    "of it event loop": "event_loop_ms_per_image",
}


def _cells(runs: list[Run]) -> list[str]:
    loads = [run.load for run in runs]
    middles = (spread(getattr(load, name) for load in loads).middle for name in _FIGURES.values())
    return [*map(number, middles), str(sum(load.failed for load in loads))]


def load_table(comparison: Comparison, clients: int) -> Table:
    """Return every round of every server under one load, then the medians."""
    rows = []
    for server in comparison.servers:
        runs = comparison.of(server, clients)
        rows += [[f"{server}, round {run.round}", *_cells([run])] for run in runs]
        rows.append([f"{server}, median", *_cells(runs)])
    return Table(_clients(clients), ("server", *_FIGURES, "failed"), rows)


def ratio_table(comparison: Comparison, loads: Iterable[int]) -> Table:
    """Return first server over second: the median of the rounds' ratios, and their range."""
    rows = [
        [_clients(n), *(str(spread(ratios(comparison, n, name))) for name in _FIGURES.values())]
        for n in loads
    ]
    title = f"{' / '.join(comparison.servers)}, median of the rounds (range)"
    return Table(title, ("load", *_FIGURES), rows)


def spent_table(comparison: Comparison, loads: Iterable[int]) -> Table | None:
    """Return where the time goes by the server's own metrics, medians; None if it has none."""
    rows = []
    for server in comparison.servers:
        for clients in loads:
            runs = comparison.of(server, clients)
            counted = [run.spent for run in runs if run.spent is not None]
            if not counted:
                continue
            names = ("batch_size", "padding", "decode_ms", "queue_ms", "execute_ms")
            middles = [spread(getattr(s, name) for s in counted).middle for name in names]
            total = median(run.load.p50_ms for run in runs)
            cells = [number(value) for value in (*middles, total)]
            rows.append([f"{server}, {_clients(clients)}", *cells])
    if not rows:
        return None
    head = ("", "mean batch", "padding", "decode ms", "queue ms", "execute ms", "client's p50 ms")
    return Table("Where the time goes, by the server's /metrics (warm-up included)", head, rows)


def cores_table(comparison: Comparison, loads: Iterable[int]) -> Table:
    """Return who used the processors: the generator must be small, the rest near nothing."""
    rows = []
    for server in comparison.servers:
        for clients in loads:
            measured = [run.load for run in comparison.of(server, clients)]
            names = ("server_cores", "generator_cores", "other_cores")
            cells = [number(spread(getattr(m, name) for m in measured).middle) for name in names]
            rows.append([f"{server}, {_clients(clients)}", *cells])
    return Table("Cores used, median", ("", "server", "load generator", "everything else"), rows)


def tables(comparison: Comparison) -> list[Table]:
    """Return all tables, in reading order."""
    loads = sorted({run.load.clients for run in comparison.runs}, reverse=True)
    found = [load_table(comparison, clients) for clients in loads]
    if len(comparison.servers) == 2:
        found.append(ratio_table(comparison, loads))
    where = spent_table(comparison, loads)
    return [*found, *([where] if where else []), cores_table(comparison, loads)]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"
