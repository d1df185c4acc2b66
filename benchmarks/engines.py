"""``python -m benchmarks.engines``: images per second of a version on every engine and precision.

The networks alone, without a server: batches of random images, one after another, as the device
thread of a batcher executes them. All stay loaded; within a round they take turns at each batch
size, and the order is reversed every round.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.types import Servable
from benchmarks.processors import machine_line
from benchmarks.report import Table, spread

DEFAULT = "models/cifar10"
BATCHES = (1, 8, 32, 64)
CHOICES = (
    EnginePolicy("tensorflow", "float32"),
    EnginePolicy("tensorflow", "bfloat16"),
    EnginePolicy("openvino", "float32"),
    EnginePolicy("openvino", "bfloat16"),
)
_SLICE_S = 1.0
"""Of one engine at one batch size in one round: dozens of the longest executions."""


def images_per_s(servable: Servable, manifest: Manifest, batch: int, seconds: float) -> float:
    """Execute batches for so long; return the images of all of them per second."""
    shape = (batch, *manifest.input.spec.shape)
    images = np.random.default_rng(batch).integers(0, 256, shape, np.uint8)
    servable.execute(images)
    count, begin = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - begin) < seconds:
        servable.execute(images)
        count += batch
    return count / elapsed_s


def measure(
    servables: dict[str, Servable], manifest: Manifest, rounds: int, seconds: float
) -> dict[tuple[str, int], list[float]]:
    """Return images/s of each round by engine and batch size."""
    found: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds):
        names = list(servables) if turn % 2 == 0 else list(reversed(servables))
        for batch in BATCHES:
            for name in names:
                speed = images_per_s(servables[name], manifest, batch, seconds)
                found.setdefault((name, batch), []).append(speed)
        print(f"round {turn + 1}/{rounds}", file=sys.stderr)
    return found


def table(found: dict[tuple[str, int], list[float]], names: list[str]) -> Table:
    """Lay the medians and ranges out, an engine per row."""
    rows = [[name, *(str(spread(found[name, batch])) for batch in BATCHES)] for name in names]
    header = ["images/s, by batch size", *map(str, BATCHES)]
    return Table("images per second, median of the rounds (range)", header, rows)


def newest(path: Path) -> Path:
    """Return a version folder as it is, of a model's folder the newest version."""
    versions = [folder for folder in path.glob("[1-9]*") if folder.name.isdigit()]
    return max(versions, key=lambda folder: int(folder.name), default=path)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(DEFAULT), metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=_SLICE_S)
    options = parser.parse_args()
    folder = newest(options.model)
    manifest = read_manifest(folder)
    servables: dict[str, Servable] = {}
    for choice in CHOICES:
        name = f"{choice.engine} {choice.precision}"
        try:
            servables[name] = load_servable(folder, manifest, choice)
        except ArtifactError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    for servable in servables.values():
        servable.warm_up()
    found = measure(servables, manifest, options.rounds, options.seconds)
    print(machine_line())
    print(f"{manifest.name}:{manifest.version}")
    print(table(found, list(servables)).as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
