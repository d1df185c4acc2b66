"""``python -m benchmarks.trials``: one contestant in several set-ups, to find its best.

    python -m benchmarks.trials bentoml "" "--workers 1" "--workers 2 --threads 1"

Each argument after the name is one set-up: options of the peer's server, added to those that it has
in the benchmark, or ``NAME=value`` for its environment; one option alone needs a space before it.
They take turns, started afresh each time; the order is reversed every round. Prints a table.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.entry_list import NAMES, enter, prepare, with_variables
from benchmarks.peers.__main__ import CACHE, MODELS, tell, work_of
from benchmarks.report import Table, spread
from benchmarks.servers import ROOT, BenchmarkError
from benchmarks.tournament import Plan, Visitor
from benchmarks.visits import Visit


def set_up(contestant: Contestant, text: str) -> Contestant:
    """Return the contestant with a set-up's options and variables added."""
    parts = shlex.split(text)
    variables = dict(part.split("=", 1) for part in parts if part[0] != "-" and "=" in part)
    options = tuple(part for part in parts if part.partition("=")[0] not in variables)
    spec = replace(contestant.spec, command=(*contestant.spec.command, *options))
    return with_variables(replace(contestant, spec=spec), variables)


def table(found: dict[str, list[Visit]]) -> Table:
    """Return one row per set-up."""
    rows = []
    for text, visits in found.items():
        many, lone = ([visit.closed[n] for visit in visits] for n in (64, 1))
        rows.append(
            [
                text or "as in the benchmark",
                str(spread(load.images_per_s for load in many)),
                str(spread(load.p99_ms for load in many)),
                str(spread(load.cpu_ms_per_image for load in many)),
                str(spread(load.p50_ms for load in lone)),
                str(spread(v.memory_mib for v in visits if v.memory_mib is not None)),
            ]
        )
    head = ("set-up", "64 clients: images/s", "p99, ms", "CPU ms/image", "1 client: p50, ms", "MiB")
    return Table("Trials, median of the rounds (range)", head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__)
    parser.add_argument("contestant", choices=NAMES)
    parser.add_argument("set_ups", nargs="*", default=[""], metavar="SET-UP")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--dataset", choices=MODELS, default=MODELS[0])
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    options = parser.parse_args()
    plan = Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        open_seconds=0,
        warm_up_s=1.0,
        clients=(1, 64),
        multiples=(),
        open_rounds={},
        deadline_ms=0,
        idle_s=0,
        tops_up=False,
        folder=CACHE / "run",
    )
    work = work_of(options.dataset, options.model_dir)
    pythons, failures = prepare([options.contestant], Path(sys.executable), tell)
    if failures:
        return 2
    contestant = enter(options.contestant, work, pythons[options.contestant])
    visitor = Visitor(work, plan, tell)
    found: dict[str, list[Visit]] = {text: [] for text in options.set_ups}
    for number in range(1, options.rounds + 1):
        for text in list(found) if number % 2 else list(found)[::-1]:
            tell(f"set-up {text!r}")
            try:
                found[text].append(visitor.visit(set_up(contestant, text), number))
            except BenchmarkError as error:
                tell(f"not measured: {error}")
    print(table({text: visits for text, visits in found.items() if visits}).as_markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
