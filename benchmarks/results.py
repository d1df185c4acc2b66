"""RESULTS.md: everything that was measured, as one page."""

from __future__ import annotations

import math

from benchmarks.must_show import goals
from benchmarks.report import Table, number
from benchmarks.visits import TITLES, Tournament

_BUSY_CORES = 0.15
_HEAD = """\
# Results

Written by `make bench-peers`; what is measured how, and how it is kept fair, stands in
[README.md](README.md#against-the-peers). Figures are medians of the rounds, with the range behind
them where they carry a conclusion. Keraserve appears three times: with its defaults, which on this
kind of machine means OpenVINO in bfloat16, and with two engines in float32, as the peers compute.
"""


def results(tournament: Tournament, plots: dict[str, str], notes: str) -> str:
    """Return the page.

    Args:
        tournament: What was measured.
        plots: Title by file name, relative to the page.
        notes: Written by hand, about what was missed; taken as it is.
    """
    blocks = [_HEAD, "\n".join(f"- {line}" for line in _facts(tournament))]
    blocks += ["## What it must show", _goal_table(tournament)]
    if notes:
        blocks.append(notes.strip())
    for model in tournament.models:
        blocks.append(f"## {TITLES.get(model, model)}")
        blocks += [f"![{title}]({file})" for file, title in plots.items() if model in file]
        blocks += [table.as_markdown() for table in _tables(tournament, model)]
    blocks += ["## How each was started", _commands(tournament)]
    if reasons := _left_out(tournament):
        blocks += ["## Left out", "\n".join(f"- {reason}" for reason in reasons)]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _facts(tournament: Tournament) -> list[str]:
    loads = [load for visit in tournament.visits for load in visit.closed.values()]
    lines = [*tournament.facts]
    busiest = max(load.generator_cores for load in loads)
    lines.append(
        f"Load generator: {tournament.ceiling_per_s:,.0f} answers/s against a server that computes "
        f"nothing; in the closed loops it used at most {busiest:.2f} of one core"
    )
    others = max(load.other_cores for load in loads)
    if others > _BUSY_CORES:
        lines.append(
            f"**Warning**: other processes used up to {others:.2f} cores meanwhile; take these "
            "figures as ratios at best"
        )
    return lines


def _left_out(tournament: Tournament) -> list[str]:
    reasons = [f"{name}: {reason}" for name, reason in tournament.failures.items()]
    reasons += [
        f"{visit.contestant}, {TITLES.get(visit.model, visit.model)}, round {visit.round}: open "
        f"loops above {max(visit.open, default=0):g} × its capacity: {visit.broke}"
        for visit in tournament.visits
        if visit.broke
    ]
    return [" ".join(reason.split()) for reason in reasons]


def _goal_table(tournament: Tournament) -> str:
    head = ("on CIFAR-10, two cores", "", "target", "measured", "")
    lines = [head, ("---", "---", "--:", "--:", "---"), *(g.cells() for g in goals(tournament))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _tables(tournament: Tournament, model: str) -> list[Table]:
    tables = [
        _closed_table(tournament, model, "images_per_s", "Closed loops: images/s, by clients"),
        _closed_table(tournament, model, "p50_ms", "Closed loops: p50, ms"),
        _closed_table(tournament, model, "p95_ms", "Closed loops: p95, ms"),
        _closed_table(tournament, model, "p99_ms", "Closed loops: p99, ms"),
        _open_table(tournament, model, "in_deadline_per_s", "answers in time per second"),
        _open_table(tournament, model, "p99_ms", "p99 of what was answered with 200, ms"),
        _open_table(tournament, model, "refused_p99_ms", "p99 of the time to a refusal, ms"),
        _footprint_table(tournament, model),
    ]
    return [table for table in tables if table.rows]


def _closed_table(tournament: Tournament, model: str, figure: str, title: str) -> Table:
    clients = sorted({n for v in tournament.visits if v.model == model for n in v.closed})
    rows = [
        [name, *(str(tournament.closed(model, name, n, figure)) for n in clients)]
        for name in tournament.contestants
        if tournament.of(model, name)
    ]
    return Table(title, ("clients", *map(str, clients)), rows)


def _open_table(tournament: Tournament, model: str, figure: str, what: str) -> Table:
    multiples = sorted({m for v in tournament.visits if v.model == model for m in v.open})
    rows = []
    for name in tournament.contestants:
        if not any(visit.open for visit in tournament.of(model, name)):
            continue
        found = [tournament.open(model, name, m, figure) for m in multiples]
        if any(not math.isnan(figure.middle) for figure in found):
            rows.append([name, *map(str, found)])
    title = f"Open loop: {what}, by offered rate as a multiple of the best closed loop"
    return Table(title, ("offered", *(f"{m:g} ×" for m in multiples)), rows)


def _footprint_table(tournament: Tournament, model: str) -> Table:
    head = (
        *("", "start to first answer, s", "memory, MiB", "after 10,000 requests", "processes"),
        *("idle CPU, % of a core", "same best label", "overhead of a lone request, ms"),
        "bound, images/s",
    )
    rows = []
    for name in tournament.contestants:
        visits = tournament.of(model, name)
        if not visits:
            continue

        def figure(what: str, name: str = name) -> str:
            return str(tournament.figure(model, name, what))

        idle = tournament.figure(model, name, "idle_cores").middle * 100
        rows.append(
            [
                name,
                *(figure("first_answer_s"), figure("memory_mib"), figure("memory_10k_mib")),
                *(str(visits[0].processes), number(idle) if idle else "0"),
                f"{min(v.agreeing for v in visits)}/{visits[0].pictures}",
                *(figure("overhead_ms"), figure("bound_per_s")),
            ]
        )
    return Table("Start, memory, idling, agreement", head, rows)


def _commands(tournament: Tournament) -> str:
    lines = []
    for name, command in tournament.commands.items():
        versions = tournament.versions.get(name)
        lines.append(f"- {name}{f' ({versions})' if versions else ''}: `{command}`")
    return "\n".join(lines)
