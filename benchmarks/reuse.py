"""``python -m benchmarks.reuse``: what it costs each image to look whether it was there before.

From the upload to ranked labels, without HTTP, and with a network that does nothing: CPU time of
the whole process per image. All images differ, but in the last row. Within a round the rows take
turns.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from app.artifacts.manifest import Manifest, read_manifest
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.imaging.decoder import ImagingPolicy
from app.imaging.encoder import encode_png
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.policy import ReusePolicy
from app.inference.records import ClassifyOptions
from app.inference.reuse import ResultReuse
from app.inference.reuse_metrics import ReuseMetrics
from app.inference.service import InferenceService
from app.metrics import Metrics
from app.types import EngineInfo, ImageArray, ScoreArray, ServableId
from benchmarks.engines import DEFAULT, newest
from benchmarks.pictures import picture
from benchmarks.processors import machine_line
from benchmarks.report import Table, spread

_ROOMY_BYTES = 1 << 30
POLICIES = {
    "off": ReusePolicy(),
    "coalescing": ReusePolicy(coalesces=True),
    "cache, every image new": ReusePolicy(cache_bytes=_ROOMY_BYTES),
    "both, every image new": ReusePolicy(coalesces=True, cache_bytes=_ROOMY_BYTES),
    "cache, every image kept": ReusePolicy(cache_bytes=_ROOMY_BYTES),
}
_KEPT = "cache, every image kept"


class IdleNetwork:
    """A servable that computes nothing."""

    info = EngineInfo("none", "float32", "none")

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def execute(self, images: ImageArray) -> ScoreArray:
        return np.full((len(images), self._classes), 1 / self._classes, np.float32)

    def warm_up(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Row:
    """One policy, with a service of its own."""

    def __init__(self, policy: ReusePolicy, manifest: Manifest) -> None:
        registry = CollectorRegistry()
        metrics = Metrics(registry, BatchPolicy().allowed_batch_sizes)
        self._id = ServableId(manifest.name, manifest.version)
        self._manifest = manifest
        self._counts = metrics.for_servable(self._id, manifest.classes)
        self._network = IdleNetwork(len(manifest.classes))
        self._batcher = DynamicBatcher(self._network, BatchPolicy(), observer=self._counts)
        self._batcher.start()
        self._policy = policy
        self._reuse_metrics = ReuseMetrics(registry)
        pool = DecodePool(threads=2, max_pending=BatchPolicy().max_queue_size)
        self._service = InferenceService(pool, ImagingPolicy(), metrics)
        self.forget()

    def forget(self) -> None:
        """Begin with an empty cache."""
        reuse = ResultReuse(self._policy, self._reuse_metrics).open(self._id, self._batcher)
        self._live = LiveServable(
            self._id,
            self._manifest,
            self._manifest.input.spec,
            self._network,
            self._batcher,
            self._counts,
            reuse=reuse,
        )

    async def cpu_us_per_image(self, uploads: list[bytes], clients: int) -> float:
        """Classify every upload once."""
        options = ClassifyOptions(5, asyncio.get_running_loop().time() + 3600)
        left = iter(uploads)

        async def client() -> None:
            for upload in left:
                await self._service.classify(self._live, upload, options)

        begin = time.process_time()
        await asyncio.gather(*(client() for _ in range(clients)))
        return (time.process_time() - begin) / len(uploads) * 1e6


async def measure(rounds: int, images: int, clients: int) -> dict[str, list[float]]:
    """Return µs of each round by row."""
    manifest = read_manifest(newest(Path(DEFAULT)))
    uploads = [encode_png(picture(seed)) for seed in range(images)]
    rows = {name: Row(policy, manifest) for name, policy in POLICIES.items()}
    await rows[_KEPT].cpu_us_per_image(uploads, clients)
    found: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(rounds):
        for name in rows if turn % 2 == 0 else reversed(rows):
            if name != _KEPT:
                rows[name].forget()
            found[name].append(await rows[name].cpu_us_per_image(uploads, clients))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reuse", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    found = asyncio.run(measure(options.rounds, options.images, options.clients))
    rows = [
        [name, str(spread(times)), str(spread(np.subtract(times, found["off"]).tolist()))]
        for name, times in found.items()
    ]
    print(machine_line())
    head = ["CPU µs per image", f"{options.clients} clients", "more than off, in one round"]
    print(Table("median of the rounds (range)", head, rows).as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
