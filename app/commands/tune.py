"""``keraserve tune``: measures what suits a model on this machine, and prints the settings."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from app.commands.stored_version import find_version
from app.registry.store import StoredVersion
from app.settings import ENV_PREFIX, Settings, SettingsError, load_settings
from app.tuning.goals import Goal
from app.tuning.report import Report
from app.tuning.tuning import tune_version

PICTURE = Path("keraserve-tune.svg")

_LARGEST_ON_CPU, _LARGEST_ON_GPU = 64, 256
"""Where throughput no longer grows with the batch: on CPUs far before, on GPUs about there."""

_DESCRIPTION = """\
Measures every engine, precision and number of threads that can execute a version on this machine,
at every batch size, each in a process of its own, and prints the settings to use, why, and what
they bring against what is set now. Ends within the limit of time; Ctrl-C ends it sooner and prints
what there is. Run it while the machine does what it will do beside serving, and nothing else.

The network alone is measured: decoding and HTTP take their share of the processors, too. Whether a
server with the new settings is better for your requests, measure with requests.

  keraserve tune                          most images per second in batches no larger than needed
  keraserve tune cifar10 --target-ms 50   most images per second while no request waits longer
  keraserve tune cifar10:4 --latency      the fastest answer to a lone image
"""


def add_tune_command(commands: Any) -> None:
    """Add the command to the parsers of ``keraserve``."""
    tune = commands.add_parser(
        "tune",
        help="find the settings that suit a model on this machine",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tune.add_argument(
        "model", metavar="MODEL[:VERSION]", nargs="?", help="default: what the settings name"
    )
    tune.add_argument(
        "--model-dir", metavar="FOLDER", help=f"the store [{ENV_PREFIX}MODEL_DIR, default: models]"
    )
    goals = tune.add_mutually_exclusive_group()
    goals.add_argument(
        "--target-ms",
        type=_number(0.001, 3_600_000),
        metavar="N",
        help="longest that a request may wait for the running batch and its own, ms",
    )
    goals.add_argument("--latency", action="store_true", help="a lone image first")
    goals.add_argument("--throughput", action="store_true", help="images per second alone")
    tune.add_argument(
        "--time-limit-s",
        type=_number(5, 86_400),
        default=120.0,
        metavar="N",
        help="longest that it may take, s; default: 120",
    )
    tune.add_argument(
        "--plot",
        type=Path,
        default=PICTURE,
        metavar="FILE",
        help=f"the picture, SVG; default: {PICTURE}",
    )
    tune.add_argument("--json", type=Path, metavar="FILE", help="everything, as one JSON object")
    tune.add_argument(
        "--write", type=Path, metavar="FILE", help="the settings, as a new environment file"
    )
    tune.set_defaults(command=_tune)


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    return number


@dataclass(frozen=True, slots=True)
class _Output:
    path: Path
    is_new: bool
    """Whether it must not exist: an environment file may hold what nobody has a copy of."""

    def check(self) -> None:
        """Complain before minutes of measuring, not after them."""
        if self.path.is_dir():
            raise SettingsError(f"{self.path} is a folder")
        if not self.path.absolute().parent.is_dir():
            raise SettingsError(f"{self.path.absolute().parent} is no folder")
        if self.is_new and self.path.exists():
            raise SettingsError(f"{self.path} exists: add the lines that are printed to it")

    def write(self, text: str) -> bool:
        """Write, or say why not: whatever else there is must still be told."""
        try:
            with self.path.open("x" if self.is_new else "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            reason = error.strerror or error
            print(f"keraserve: {self.path} cannot be written: {reason}", file=sys.stderr)
            return False
        print(f"keraserve: wrote {self.path}", file=sys.stderr)
        return True


def _tune(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # as in `serve`
    picture = _Output(options.plot, is_new=False)
    document = None if options.json is None else _Output(options.json, is_new=False)
    environment = None if options.write is None else _Output(options.write, is_new=True)
    for output in (picture, document, environment):
        if output is not None:
            output.check()
    settings = load_settings(model_dir=options.model_dir)
    version = _version(options.model, settings)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        found = tune_version(
            version.folder,
            str(version.id),
            settings.engine_policy(),
            _goal(options),
            options.time_limit_s,
            _tell,
        )
    finally:
        signal.signal(signal.SIGTERM, previous)
    report = Report(found, ENV_PREFIX)
    written = []
    if found.findings.curves:
        written.append(picture.write(report.as_picture()))
    if document is not None:
        written.append(document.write(json.dumps(report.as_document(), indent=2) + "\n"))
    if environment is not None and found.recommendation is not None:
        written.append(environment.write(report.as_environment()))
    print(report.as_text())  # last, as the reader of a pipe may be gone
    if found.findings.ended_by == "interrupted":
        return 130
    return 0 if found.recommendation is not None and all(written) else 1


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # ends as Ctrl-C does: what was measured is printed


def _version(text: str | None, settings: Settings) -> StoredVersion:
    name, _, number = (text or "").partition(":")
    return find_version(settings, name, number)


def _goal(options: argparse.Namespace) -> Goal:
    if options.target_ms is not None:
        return Goal("target", options.target_ms / 1000)
    if options.latency:
        return Goal("latency")
    return Goal("throughput" if options.throughput else "balanced")


def _tell(line: str) -> None:
    print(f"keraserve: {line}", file=sys.stderr, flush=True)
