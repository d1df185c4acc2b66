"""``python -m benchmarks.request_path``: where the time of a request goes, beside its execution.

The whole service in one process, from the bytes that a socket would give to those that it would
take: uvicorn's protocol on uvloop, our layers, multipart, decoding, batching, JSON, log line and
metrics. There is no socket, and the network answers at once, so that nothing but the request path
is left. Requests come in groups, as they do where batches are answered.

With ``--refused`` it is the path of a request that is refused by its head, as most are under
overload: the queue is full, and stays so.

With ``--profile`` the functions are listed by their own time; cProfile's bookkeeping makes small
functions look dearer than they are.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import io
import pstats
import statistics
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import uvicorn
import uvloop
from uvicorn.server import ServerState

from app.api.connections import connection_options
from app.api.protocol import gated
from app.artifacts.manifest import Manifest
from app.artifacts.samples import read_samples
from app.lifecycle import Lifecycle
from app.load.requests import image_request
from app.logging import configure_logging
from app.main import create_app
from app.runtime.policy import EnginePolicy
from app.settings import Settings
from app.types import EngineInfo, ImageArray, ScoreArray
from benchmarks.pictures import write_pictures
from benchmarks.processors import machine_line
from benchmarks.servers import ROOT

FILLINGS = 16
"""Requests that fill the devices and a queue of one, whatever lies ready beside it."""


class InstantServable:
    """Knows the answers to its samples by heart, and gives the first of them to all else."""

    info = EngineInfo("none", "float32", "none")

    def __init__(self, folder: Path, _: Manifest, __: EnginePolicy) -> None:
        samples = read_samples(folder / "samples.npz")
        self._rows = {
            image.tobytes(): row
            for image, row in zip(samples.images, samples.probabilities, strict=True)
        }
        self._first = samples.probabilities[0]
        self.is_tested = False
        self.may_end = threading.Event()
        self.may_end.set()

    def execute(self, images: ImageArray) -> ScoreArray:
        self.may_end.wait()
        if self.is_tested:
            return np.broadcast_to(self._first, (len(images), len(self._first)))
        return np.stack([self._rows.get(image.tobytes(), self._first) for image in images])

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Wire(asyncio.Transport):
    """Takes what a connection writes, and tells when an answer is whole."""

    def __init__(self, whole: Callable[[], None]) -> None:
        super().__init__()
        self._whole = whole
        self.answer = b""

    def write(self, data: Any) -> None:
        self.answer += data
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if end and f"content-length: {len(body)}\r\n".encode() in head + b"\r\n":
            self._whole()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Bench:
    """A group of connections to the service."""

    def __init__(self, app: Any, size: int) -> None:
        config = uvicorn.Config(app, **connection_options(app.state))
        config.load()
        state = ServerState()
        date = (b"date", b"Thu, 26 Nov 2026 00:00:00 GMT")
        state.default_headers = [date, *config.encoded_headers]
        self._left = 0
        self._all_came = asyncio.Event()
        self._wires: list[_Wire] = []
        self._protocols = []
        for _ in range(size):
            wire = _Wire(self._came)
            protocol = gated(app.state.gate, app.state.lane)(config, state, {})  # type: ignore[call-arg]
            protocol.connection_made(wire)
            self._wires.append(wire)
            self._protocols.append(protocol)

    def _came(self) -> None:
        self._left -= 1
        if not self._left:
            self._all_came.set()

    async def ask(self, requests: list[bytes]) -> None:
        """Send one request on each connection, and wait for all answers."""
        self.begin(requests)
        await self._all_came.wait()
        await asyncio.sleep(0)  # where all was answered at once, the turn ends here

    def begin(self, requests: list[bytes]) -> None:
        """Send one request on each connection."""
        self._left = len(requests)
        self._all_came.clear()
        for wire, protocol, request in zip(self._wires, self._protocols, requests, strict=True):
            wire.answer = b""
            protocol.data_received(request)

    def check(self, status: bytes) -> None:
        for wire in self._wires:
            if b" %s " % status not in wire.answer[:16]:
                raise SystemExit(f"not answered with {status!r}: {wire.answer[:400]!r}")


async def run(options: argparse.Namespace) -> None:
    servables: list[InstantServable] = []

    def load(folder: Path, manifest: Manifest, policy: EnginePolicy) -> InstantServable:
        servables.append(InstantServable(folder, manifest, policy))
        return servables[-1]

    settings = Settings(
        model_dir=options.model_dir, models=options.model, engine="openvino", **limits(options)
    )
    app = create_app(settings, load=load)
    lifecycle: Lifecycle = app.state.lifecycle
    async with app.router.lifespan_context(app):
        await lifecycle.loaded()
        for servable in servables:
            servable.is_tested = True
        bench = Bench(app, options.group)
        requests = make_requests(options)
        if options.refused:
            await refuse(app, servables, bench, requests, options)
        else:
            await measure(bench, requests, b"200", options)


async def refuse(
    app: Any,
    servables: list[InstantServable],
    bench: Bench,
    requests: list[bytes],
    options: argparse.Namespace,
) -> None:
    """Measure with a queue that is full."""
    for servable in servables:
        servable.may_end.clear()
    try:
        for _ in range(FILLINGS):
            Bench(app, 1).begin(requests[:1])
            await asyncio.sleep(0.02)  # until it lies where it stays
        await measure(bench, requests, b"429", options)
    finally:
        for servable in servables:
            servable.may_end.set()


def limits(options: argparse.Namespace) -> dict[str, Any]:
    """Return settings of limits that are counted and never reached, and of the queue."""
    chosen: dict[str, Any] = {}
    if options.limits:
        chosen |= {"address_rate_per_s": 1e9, "address_max_concurrency": 10**6}
    if options.refused:
        chosen |= {"max_queue_size": 1, "max_images_per_request": 1}
        chosen |= {"request_timeout_ms": 600_000, "stall_after_s": 600, "max_batch_size": 1}
    return chosen


def make_requests(options: argparse.Namespace) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        pictures = sorted(Path(folder).glob("*.png"))[: options.group]
        return [image_request(path, "h", "/v1/classify", options.content) for path in pictures]


async def measure(
    bench: Bench, requests: list[bytes], status: bytes, options: argparse.Namespace
) -> None:
    for _ in range(50):
        await bench.ask(requests)
    bench.check(status)
    gc.collect()
    gc.freeze()
    profile = cProfile.Profile() if options.profile else None
    cpu_us, wall_us = [], []
    if profile:
        profile.enable()
    for _ in range(options.rounds):
        began, cpu = perf_counter(), process_time()
        for _ in range(options.groups):
            await bench.ask(requests)
        images = options.groups * len(requests)
        cpu_us.append((process_time() - cpu) / images * 1e6)
        wall_us.append((perf_counter() - began) / images * 1e6)
    bench.check(status)
    if profile:
        profile.disable()
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(options.profile)
        print(text.getvalue())
    print(machine_line())
    print(
        f"{options.content}, groups of {len(requests)}: CPU {statistics.median(cpu_us):.1f} µs "
        f"({min(cpu_us):.1f} to {max(cpu_us):.1f}) per image, wall "
        f"{statistics.median(wall_us):.1f} µs, {options.rounds} rounds"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.request_path", description=__doc__)
    parser.add_argument("--group", type=int, default=32, help="requests that come together")
    parser.add_argument("--groups", type=int, default=100, help="in each round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--content", choices=("multipart", "raw"), default="multipart")
    parser.add_argument("--model", default="cifar10")
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--limits", action="store_true", help="of rate and concurrency, by address")
    parser.add_argument("--refused", action="store_true", help="of a queue that is full")
    parser.add_argument("--profile", type=int, metavar="N", help="list the N dearest functions")
    options = parser.parse_args()
    with tempfile.TemporaryFile("w") as log:  # where a file takes them, as on a server
        configure_logging("info", "json", log)
        uvloop.run(run(options))


if __name__ == "__main__":
    main()
