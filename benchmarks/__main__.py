"""``python -m benchmarks``: Keraserve and the hand-written server, side by side on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.comparison import Comparison, Plan, compare
from benchmarks.pictures import write_pictures
from benchmarks.processors import machine_line, usable_cores
from benchmarks.report import Table, tables
from benchmarks.saved_model import ensure_saved_model
from benchmarks.servers import ROOT, BenchmarkError, ServerSpec
from benchmarks.targets import Verdict, verdicts

CACHE = ROOT / "data" / "bench"
MODEL = "cifar10"
CLASSES = 10
_BUSY_CORES = 0.1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--warm-up-s", type=float, default=2.0, help="before each measurement")
    parser.add_argument("--clients", type=_counts, default=(64, 1), help="loads, e.g. 64,1")
    parser.add_argument("--idle-s", type=float, default=10.0, help="0 leaves idling out")
    parser.add_argument("--only", choices=("keraserve", "handwritten"), help="measure one alone")
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    parser.add_argument(
        "--model-file", type=Path, help="what the peer serves, instead of the published version"
    )
    parser.add_argument("--engine", default="tensorflow", help="KERASERVE_ENGINE")
    parser.add_argument("--precision", default="float32", help="KERASERVE_PRECISION")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="another KERASERVE_ setting, e.g. BATCH_TIMEOUT_MS=2; may be repeated",
    )
    parser.add_argument(
        "--peer-drain", action="store_true", help="the peer empties its queue at the timeout"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write a summary there")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, at least 1 is needed")
    return value


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"got {text!r}, NAME=VALUE is needed")
    return f"KERASERVE_{name.upper().removeprefix('KERASERVE_')}", value


def published_version(model_dir: Path) -> Path:
    """Return the folder of the newest published version.

    Raises:
        BenchmarkError: There is none.
    """
    folder = model_dir / MODEL
    versions = [p for p in folder.glob("*/manifest.json") if p.parent.name.isdigit()]
    if not versions:
        raise BenchmarkError(
            f"no published version in {folder}: train one with `make train`, or name a folder of "
            "models with --model-dir"
        )
    return max(versions, key=lambda path: int(path.parent.name)).parent


def keraserve(options: argparse.Namespace) -> ServerSpec:
    environment = {
        "KERASERVE_PORT": "{port}",
        "KERASERVE_MODELS": MODEL,
        "KERASERVE_MODEL_DIR": str(options.model_dir.resolve()),
        "KERASERVE_ENGINE": options.engine,
        "KERASERVE_PRECISION": options.precision,
    }
    return ServerSpec(
        name="keraserve",
        command=("-m", "app", "serve"),
        target="/v1/classify",
        ready_path="/readyz",
        environment=environment | dict(options.set),
        metrics_path="/metrics",
    )


def handwritten(options: argparse.Namespace) -> ServerSpec:
    model_file = options.model_file or published_version(options.model_dir) / "model.keras"
    saved_model = ensure_saved_model(model_file, class_names(model_file), CACHE / "saved_models")
    module = "benchmarks.peers.handwritten.server"
    extra = ("--drain",) if options.peer_drain else ()
    return ServerSpec(
        name="handwritten",
        command=("-m", module, "--saved-model", str(saved_model), "--port", "{port}", *extra),
        target="/classify",
        ready_path="/health",
    )


def class_names(model_file: Path) -> list[str]:
    """Return the labels of the manifest beside the model, or numbers where there is none."""
    try:
        manifest = json.loads(model_file.with_name("manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [str(class_id) for class_id in range(CLASSES)]
    names: list[str] = manifest["classes"]
    return names


def measure(options: argparse.Namespace) -> Comparison:
    makers = {"keraserve": keraserve, "handwritten": handwritten}
    chosen = [options.only] if options.only else list(makers)
    size_bytes = write_pictures(CACHE / "pictures")
    tell(f"pictures of {size_bytes:,.0f} bytes on average in {CACHE / 'pictures'}")
    plan = Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        warm_up_s=options.warm_up_s,
        clients=options.clients,
        idle_s=options.idle_s,
        pictures=CACHE / "pictures",
        folder=CACHE / "run",
    )
    return compare([makers[name](options) for name in chosen], plan, tell)


def tell(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def facts(comparison: Comparison, options: argparse.Namespace) -> list[str]:
    """Return what a reader needs beside the tables."""
    command = " ".join(["python -m benchmarks", shlex.join(sys.argv[1:])]).strip()
    lines = [
        f"Machine: {machine_line()}",
        f"Command: {command} ({options.rounds} rounds of {options.seconds:g} s after "
        f"{options.warm_up_s:g} s of warm-up, {datetime.now(UTC):%Y-%m-%d})",
    ]
    agreement, ceiling = comparison.agreement, comparison.ceiling
    if agreement and len(comparison.servers) == 2:
        lines.append(
            f"Same work: the best label agrees on all {agreement.pictures} pictures "
            f"({agreement.classes} different labels); largest difference of its score "
            f"{agreement.largest_deviation:.1e}"
        )
    if ceiling:
        busiest = max(run.load.generator_cores for run in comparison.runs)
        lines.append(
            f"Load generator: {ceiling.images_per_s:,.0f} answers/s against a server that computes "
            f"nothing ({ceiling.clients} clients); in the runs it used at most {busiest:.2f} of "
            "one core"
        )
    others = max(run.load.other_cores for run in comparison.runs)
    if others > _BUSY_CORES:
        lines.append(
            f"WARNING: other processes used up to {others:.2f} of {usable_cores()} cores "
            "meanwhile; take these figures as ratios at best"
        )
    failed = sum(run.load.failed for run in comparison.runs)
    if failed:
        lines.append(f"WARNING: {failed} requests failed; rates count answers with status 200 only")
    return lines


def text_report(lines: list[str], found: list[Table], judged: list[Verdict]) -> str:
    blocks = ["\n".join(lines), *(table.as_text() for table in found)]
    return "\n\n".join([*blocks, "\n".join(map(str, judged))])


def markdown_report(lines: list[str], found: list[Table], judged: list[Verdict]) -> str:
    blocks = ["\n".join(f"- {line}" for line in lines)]
    blocks += [table.as_markdown() for table in found]
    blocks.append("\n".join(f"- {verdict}" for verdict in judged))
    return "\n\n".join(blocks) + "\n"


def run(options: argparse.Namespace) -> int:
    tell(machine_line())
    busy = os.getloadavg()[0]
    if busy > usable_cores() / 2:
        tell(f"WARNING: the load average is {busy:.1f}: this machine is not idle")
    comparison = measure(options)
    lines, found, judged = facts(comparison, options), tables(comparison), verdicts(comparison)
    print(text_report(lines, found, judged))
    record = {"facts": lines, "verdicts": [asdict(v) for v in judged], **asdict(comparison)}
    (CACHE / "latest.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    tell(f"every figure: {CACHE / 'latest.json'}")
    if options.markdown:
        options.markdown.write_text(markdown_report(lines, found, judged), encoding="utf-8")
    missed = any(verdict.met is False for verdict in judged)
    return 1 if options.strict and missed else 0


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
        print("benchmark: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
