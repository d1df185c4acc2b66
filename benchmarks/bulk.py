"""``python -m benchmarks.bulk``: ``keraserve classify`` against the most that a machine can do.

The command reads the test pictures of CIFAR-10 from disk, each in the folder of its label, and
writes every answer to a file; ``benchmarks.bound`` decodes and executes pictures that are in memory
already, and throws the answers away. Each is a process of its own; they take turns, and the order
is reversed every round. Of the bound's ways of batching, the one with the highest median counts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.engines import newest
from benchmarks.processors import machine_line
from benchmarks.report import Table, spread

TARGET = 0.85
_MEMBER = re.compile(r"(?:.*/)?test/(\d+)_([^/]+)\.png")
_RATE = re.compile(r"([\d,]+) classified in .*: ([\d,]+) images/s")
_ACCURACY = re.compile(r"accuracy (\d\.\d+)")
_TIMEOUT_S = 600


class MeasuringError(Exception):
    """Something does not run, or does not say what it should."""


@dataclass(slots=True)
class Rounds:
    """What was measured, a value per round."""

    bound: dict[str, list[float]] = field(default_factory=dict)
    command: list[float] = field(default_factory=list)
    command_s: list[float] = field(default_factory=list)
    accuracy: float = 0.0

    @property
    def best_way(self) -> str:
        return max(self.bound, key=lambda way: median(self.bound[way]))

    @property
    def ratios(self) -> list[float]:
        best = self.bound[self.best_way]
        return [ours / bound for ours, bound in zip(self.command, best, strict=True)]


def unpack(archive: Path, by_label: Path, flat: Path) -> int:
    """Write the test pictures, below folders of their labels and once more side by side.

    Returns:
        How many there are.
    """
    count = 0
    flat.mkdir()
    with tarfile.open(archive) as members:
        for member in members:
            match = _MEMBER.fullmatch(member.name)
            content = members.extractfile(member) if match else None
            if match is None or content is None:
                continue
            path = by_label / match[2] / f"{match[1]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
            (flat / path.name).hardlink_to(path)
            count += 1
    if not count:
        raise MeasuringError(f"{archive} has no test/N_class.png")
    return count


def run(words: Sequence[str], prefix: Sequence[str]) -> tuple[str, str]:
    """Run Python with ``words``; return both outputs."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise MeasuringError(f"{words[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout, done.stderr


def measure_bound(rounds: Rounds, version: Path, flat: Path, options: argparse.Namespace) -> None:
    words = ["benchmarks.bound", "--version", str(version), "--pictures", str(flat)]
    words += ["--precision", options.precision, "--seconds", str(options.seconds)]
    for way, rate in json.loads(run(words, options.prefix.split())[0]).items():
        rounds.bound.setdefault(way, []).append(rate)


def measure_command(
    rounds: Rounds, version: Path, by_label: Path, options: argparse.Namespace
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["app", "classify", str(by_label), "--recursive", "--format", options.format]
        words += ["--output", f"{folder}/results", "--model-dir", str(version.parent.parent)]
        words += ["--model", version.parent.name, "--version", version.name]
        prefix = [*options.prefix.split(), "env", f"KERASERVE_PRECISION={options.precision}"]
        began = time.perf_counter()
        told = run(words, prefix)[1]
        rounds.command_s.append(time.perf_counter() - began)
    rate, accuracy = _RATE.search(told), _ACCURACY.search(told)
    if rate is None or accuracy is None:
        raise MeasuringError(f"keraserve classify says neither rate nor accuracy:\n{told}")
    rounds.command.append(float(rate[2].replace(",", "")))
    rounds.accuracy = float(accuracy[1])


def tables(rounds: Rounds) -> Table:
    rows = [["keraserve classify", str(spread(rounds.command))]]
    rows += [[f"bound, {way}", str(spread(found))] for way, found in rounds.bound.items()]
    rows.append([f"ratio to the bound, {rounds.best_way}", str(spread(rounds.ratios))])
    rows.append(["keraserve classify, the whole process, s", str(spread(rounds.command_s))])
    return Table("images per second, median of the rounds (range)", ["", ""], rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="the PNG archive of CIFAR-10, .tgz"
    )
    parser.add_argument("--model", type=Path, default=Path("models/cifar10"), metavar="FOLDER")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--format", default="jsonl")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each way of the bound")
    parser.add_argument("--prefix", default="", help="in front of both, e.g. 'chrt -r 3'")
    options = parser.parse_args()
    version, rounds = newest(options.model), Rounds()
    with tempfile.TemporaryDirectory() as folder:
        by_label, flat = Path(folder) / "by-label", Path(folder) / "flat"
        count = unpack(options.data, by_label, flat)
        for turn in range(options.rounds):
            if turn % 2 == 0:
                measure_bound(rounds, version, flat, options)
            measure_command(rounds, version, by_label, options)
            if turn % 2 == 1:
                measure_bound(rounds, version, flat, options)
            print(f"round {turn + 1}/{options.rounds}: {rounds.command[-1]:,.0f}", file=sys.stderr)
    print(machine_line())
    print(f"{version.parent.name}:{version.name}, {count:,} pictures, {options.precision}")
    print(tables(rounds).as_text())
    print(f"accuracy {rounds.accuracy:.4f}")
    ratio = spread(rounds.ratios).middle
    print(f"{'met' if ratio >= TARGET else 'missed'}: at least {TARGET} of the bound, {ratio:.3f}")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
