"""``python -m benchmarks.peers``: Keraserve against what users would pick instead.

Sets up every peer, measures all of them on the same networks in alternating rounds, and writes
RESULTS.md with its plots and results.json with every figure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from app.artifacts.manifest import read_manifest
from benchmarks.comparison import Plan as CeilingPlan
from benchmarks.comparison import measure_ceiling
from benchmarks.contestants import Contestant, Work
from benchmarks.entry_list import ENVIRONMENT_OF, MAIN_PACKAGES, NAMES, enter, prepare
from benchmarks.peer_environments import pinned_versions
from benchmarks.pictures import write_pictures
from benchmarks.plots import draw
from benchmarks.processors import machine_line, usable_cores
from benchmarks.results import results
from benchmarks.saved_model import ensure_saved_model
from benchmarks.servers import ROOT, BenchmarkError
from benchmarks.tournament import Plan, play
from benchmarks.visits import Tournament, load_tournament

CACHE = ROOT / "data" / "bench"
OUTPUT = ROOT / "benchmarks"
MODELS = ("cifar10", "fashion_mnist")
CLIENTS = (1, 8, 64, 256)
MULTIPLES = (0.2, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
DEADLINE_MS = 500.0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each closed loop")
    parser.add_argument(
        "--only", type=_list, default=NAMES, help=f"contestants, out of {', '.join(NAMES)}"
    )
    parser.add_argument("--datasets", type=_list, default=MODELS, help="e.g. cifar10")
    parser.add_argument("--open-rounds", type=int, help="rounds with open loops, of every model")
    parser.add_argument(
        "--quick", action="store_true", help="one short round, to see that everything works"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="write the report again from results.json"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of RESULTS.md; a partial run's is in data/bench"
    )
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    options = parser.parse_args()
    unknown = [*(set(options.only) - set(NAMES)), *(set(options.datasets) - set(MODELS))]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def output_folder(options: argparse.Namespace) -> Path:
    """Return where the report goes: only a whole run replaces the published one."""
    if options.output:
        return Path(options.output)
    is_whole = set(options.only) == set(NAMES) and set(options.datasets) == set(MODELS)
    return OUTPUT if is_whole and not options.quick else CACHE / "partial"


def plan_of(options: argparse.Namespace) -> Plan:
    seconds = 1.0 if options.quick else options.seconds
    default_open = {"cifar10": options.rounds, "fashion_mnist": 1}
    if options.open_rounds is not None:
        default_open = dict.fromkeys(MODELS, options.open_rounds)
    return Plan(
        rounds=1 if options.quick else options.rounds,
        seconds=seconds,
        open_seconds=seconds,
        warm_up_s=min(0.7, seconds),
        clients=CLIENTS,
        multiples=MULTIPLES,
        open_rounds=default_open,
        deadline_ms=DEADLINE_MS,
        idle_s=1.0 if options.quick else 4.0,
        tops_up=not options.quick,
        folder=CACHE / "run",
    )


def work_of(model: str, model_dir: Path) -> Work:
    """Return the newest published version of a model as work for all.

    Raises:
        BenchmarkError: There is none.
    """
    folders = [p.parent for p in (model_dir / model).glob("[1-9]*/manifest.json")]
    if not folders:
        raise BenchmarkError(f"no published version of {model} in {model_dir}: `make train`")
    folder = max(folders, key=lambda path: int(path.name))
    manifest = read_manifest(folder)
    shape = manifest.input.spec.shape
    labels = list(manifest.classes)
    pictures = CACHE / f"pictures-{model}"
    write_pictures(pictures, shape)
    saved_model = ensure_saved_model(folder / "model.keras", labels, CACHE / "saved_models")
    return Work(model, folder, saved_model, pictures, shape, labels)


def facts(options: argparse.Namespace, plan: Plan, works: Iterable[Work]) -> list[str]:
    command = " ".join(["python -m benchmarks.peers", shlex.join(sys.argv[1:])]).strip()
    served = ", ".join(f"{work.model} version {work.version.name}" for work in works)
    return [
        f"Machine: {machine_line()}",
        f"Date: {datetime.now(UTC):%Y-%m-%d}; command: `{command}`"
        f"{' (`make bench-peers`)' if not sys.argv[1:] else ''}",
        f"Served: {served}",
        f"Rounds: {plan.rounds}; closed loops of {plan.seconds:g} s after {plan.warm_up_s:g} s of "
        f"warm-up, open loops of {plan.open_seconds:.2g} s after 1 s with Poisson arrivals, where "
        f"an answer counts within {plan.deadline_ms:g} ms",
    ]


def command_of(contestant: Contestant) -> str:
    """Return how it is started, without what differs from machine to machine."""
    spec = contestant.spec
    quiet = ("PORT", "MODELS", "DEFAULT_MODEL", "MODEL_DIR")
    variables = [
        f"{name}={value}"
        for name, value in spec.environment.items()
        if not name.endswith(quiet) and not name.startswith(("TF_", "BENTOML_", "RAY_USAGE"))
    ]
    parts = ["FOLDER" if part.startswith(str(CACHE)) else part for part in spec.command]
    return " ".join([*variables, "python", *parts])


def measure(options: argparse.Namespace, target: Path) -> Tournament:
    plan = plan_of(options)
    works = [work_of(model, options.model_dir) for model in options.datasets]
    names = [name for name in NAMES if name in options.only]
    pythons, failures = prepare(names, Path(sys.executable), tell)
    tournament = Tournament(facts(options, plan, works), failures=failures)
    for name in pythons:
        tournament.commands[name] = command_of(enter(name, works[0], pythons[name]))
        if name in ENVIRONMENT_OF:
            packages = pinned_versions(ENVIRONMENT_OF[name], MAIN_PACKAGES[name])
            tournament.versions[name] = ", ".join(packages)
    ceiling = CeilingPlan(1, 2.0, 0.5, (64,), 0.0, pictures=works[0].pictures, folder=plan.folder)
    tournament.ceiling_per_s = measure_ceiling(ceiling).images_per_s
    tell(f"load generator alone: {tournament.ceiling_per_s:,.0f} answers/s")
    for work in works:
        entries = [enter(name, work, python) for name, python in pythons.items()]
        for _ in play(work, entries, plan, tournament, tell):
            tournament.save(target)  # what was measured before a Ctrl-C can be reported
    return tournament


def tell(line: str) -> None:
    print(f"  {datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)


def report(tournament: Tournament, folder: Path) -> None:
    plots = folder / "plots"
    if folder != OUTPUT:
        shutil.rmtree(plots, ignore_errors=True)
    plots.mkdir(parents=True, exist_ok=True)
    drawn = draw(tournament, plots)
    notes = OUTPUT / "NOTES.md"
    text = results(tournament, drawn, notes.read_text(encoding="utf-8") if notes.exists() else "")
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")
    tell(f"written: {folder / 'RESULTS.md'}, {len(drawn)} plots")


def run(options: argparse.Namespace) -> int:
    folder = output_folder(options)
    raw = folder / "results.json"
    if options.report_only:
        report(load_tournament(raw), folder)
        return 0
    busy = os.getloadavg()[0]
    if busy > usable_cores() / 2:
        tell(f"WARNING: the load average is {busy:.1f}: this machine is not idle")
    tournament = measure(options, raw)
    tournament.save(raw)
    if not tournament.visits:
        raise BenchmarkError("nothing could be measured")
    report(tournament, folder)
    return 0


def main() -> int:
    # Both end in KeyboardInterrupt: the servers are stopped on the way out. SIGINT is set because
    # shells start background jobs with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return run(parse_options())
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmark: stopped; --report-only reports what was measured", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
