"""What a machine can do at most: decode and execute in one process, without HTTP.

    python -m benchmarks.bound --version models/cifar10/4 --pictures DIR

The same decoder and the same engine as in the server; threads decode the next batches while one
executes, or while two do, where the engine shares the processor so. Several ways of batching are
tried in turn, the best counts. Prints images/s as JSON, or,
with ``--labels``, the best label of each picture.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from app.artifacts.manifest import Manifest, read_manifest
from app.imaging.decoder import ImagingPolicy, decode_image
from app.runtime.choices import engine_choices
from app.runtime.host import ThisHost
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.types import ImageArray, Servable, ServableGroup

BATCHES = (32, 64)
DECODERS = (1, 2)
_AHEAD = 2
"""Batches decoded ahead of those that execute: enough that none of them waits, if it can be."""


def load(folder: Path, engine: str, precision: str) -> tuple[Manifest, Servable]:
    """Return a version on the engine that the server would choose, warmed up."""
    manifest = read_manifest(folder)
    policy = EnginePolicy(engine, precision)  # type: ignore[arg-type]
    is_exported = (folder / "openvino").is_dir()
    choice = engine_choices(policy, ThisHost(), is_exported=is_exported)[0]
    servable = load_servable(folder, manifest, choice)
    servable.warm_up()
    return manifest, servable


def decoded(files: list[bytes], manifest: Manifest) -> ImageArray:
    """Return the ``(N, H, W, C)`` uint8 pixels of encoded images."""
    policy = ImagingPolicy()
    return np.stack([decode_image(file, manifest.input.spec, policy).pixels for file in files])


def images_per_s(
    executors: Sequence[Servable],
    manifest: Manifest,
    files: list[bytes],
    batch: int,
    decoders: int,
    s: float,
) -> float:
    """Decode and execute for ``s`` seconds, on all ``executors`` at a time."""
    source: Iterator[bytes] = itertools.cycle(files)
    lock = Lock()
    with ThreadPoolExecutor(decoders) as pool, ThreadPoolExecutor(len(executors)) as devices:
        waiting: deque[Future[ImageArray]] = deque()

        def take() -> ImageArray:
            with lock:
                while len(waiting) < _AHEAD + len(executors):
                    waiting.append(
                        pool.submit(decoded, list(itertools.islice(source, batch)), manifest)
                    )
                oldest = waiting.popleft()
            return oldest.result()

        def execute(servable: Servable) -> int:
            count = 0
            while time.perf_counter() - began < s:
                servable.execute(take())
                count += batch
            return count

        began = time.perf_counter()
        return sum(devices.map(execute, executors)) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bound", description=__doc__)
    parser.add_argument("--version", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of PNG files")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each way")
    parser.add_argument("--labels", action="store_true", help="classify instead")
    options = parser.parse_args()
    manifest, servable = load(options.version, options.engine, options.precision)
    files = [path.read_bytes() for path in sorted(options.pictures.glob("*.png"))]
    if options.labels:
        scores = servable.execute(decoded(files[:64], manifest))
        for start in range(64, len(files), 64):
            more = servable.execute(decoded(files[start : start + 64], manifest))
            scores = np.concatenate([scores, more])
        print(json.dumps([manifest.classes[k] for k in scores.argmax(axis=1)]))
        return
    groups: list[Sequence[Servable]] = [(servable,)]
    if isinstance(servable, ServableGroup):
        groups.append(servable.members)
    found = {
        f"batch {batch}, {decoders} decoding, {len(group)} executing": images_per_s(
            group, manifest, files, batch, decoders, options.seconds
        )
        for group, batch, decoders in itertools.product(groups, BATCHES, DECODERS)
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
