"""``python -m benchmarks.gpu --output DIR``: the jax engine and the service on a GPU.

First the CIFAR-10 network alone and served, then a ResNet-50. What there is no time for is left out
and named; what was measured is in DIR/gpu.json after each step, and as tables in DIR/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

# Before JAX is imported: by the parts below, and by the servers, which inherit it. They share what
# was compiled, so that a server starts in seconds.
os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import OutOfDeviceMemoryError, ServingError
from app.runtime.jax_engine import StagedJaxServable
from benchmarks.engines import newest
from benchmarks.gpu.executions import (
    NUMBERS,
    Numbers,
    Times,
    build,
    measure_round,
    random_images,
)
from benchmarks.gpu.large_network import publish_large_network
from benchmarks.gpu.serving import CLIENTS, Loaded, serve_and_load, server_of
from benchmarks.pictures import write_pictures
from benchmarks.processors import machine_line
from benchmarks.report import Table, number, spread
from benchmarks.servers import ROOT, BenchmarkError

LIMIT_S = 230.0
_SERVING_S, _STOPPING_S = 45.0, 5.0
"""For a server to start and be loaded by four closed loops; for it to stop."""
SMALL_SIZES = tuple(1 << power for power in range(11))  # 1 to 1024
LARGE_SIZES = (1, 8, 32, 128)
SERVED_SIZES = tuple(size for size in SMALL_SIZES if size <= 256)
_ROUNDS = 3
_LEAST_S = 10.0
"""Left to the first round in any case: without one, all that was compiled was for nothing."""


@dataclass(slots=True)
class Network:
    """A published version and what is measured of it.

    Attributes:
        folder: Of the version.
        batch_sizes: Measured alone; in the precisions that are not served, every second of them.
        served_sizes: The allowed batch sizes of the server.
        reserve_s: Left for what comes afterwards.
        step: 2 where ``batch_sizes`` are too many to compile in all precisions.
    """

    folder: Path
    batch_sizes: tuple[int, ...]
    served_sizes: tuple[int, ...]
    reserve_s: float
    step: int = 1
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = read_manifest(self.folder)

    def sizes_in(self, numbers: Numbers) -> tuple[int, ...]:
        """Return the batch sizes that are measured in a precision."""
        return self.batch_sizes[:: 1 if numbers is NUMBERS[0] else self.step]


class Run:
    """One run: its time, its findings, and the files that they are written to."""

    def __init__(self, output: Path, limit_s: float) -> None:
        self.output = output
        self._until_s = time.monotonic() + limit_s
        device = jax.devices()[0]
        self.facts = [machine_line(), f"{len(jax.devices())} × {device.device_kind}"]
        self.left_out: list[str] = []
        self.tables: list[Table] = []
        self.figures: dict[str, Any] = {}

    def left_s(self) -> float:
        return self._until_s - time.monotonic()

    def tell(self, line: str) -> None:
        print(f"  {self.left_s():4.0f} s left: {line}", file=sys.stderr, flush=True)

    def leave_out(self, what: str, reason: object) -> None:
        self.left_out.append(f"{what}: {reason}")
        self.tell(f"{what} left out: {reason}")

    def write(self) -> None:
        record = {"facts": self.facts, "left_out": self.left_out, **self.figures}
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "gpu.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        lines = [*self.facts, *(f"Left out: {line}" for line in self.left_out)]
        blocks = ["\n".join(f"- {line}" for line in lines)]
        blocks += [table.as_markdown() for table in self.tables]
        (self.output / "gpu.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")

    def text(self) -> str:
        blocks = ["\n".join([*self.facts, *(f"left out: {line}" for line in self.left_out)])]
        return "\n\n".join([*blocks, *(table.as_text() for table in self.tables)])


def measure_alone(run: Run, network: Network, rounds: int) -> None:
    """Measure a network without a server, in every precision that there is time to compile."""
    name = network.manifest.name
    servables = compile_all(run, network)
    found: dict[tuple[Numbers, int], Times] = {}
    for turn in range(rounds):
        order = list(servables) if turn % 2 == 0 else list(reversed(servables))
        for size in network.batch_sizes:
            images = random_images(network.manifest, size)
            for numbers in order:
                if run.left_s() < (network.reserve_s if turn else _LEAST_S):
                    continue  # what there was has to do
                if size in network.sizes_in(numbers):
                    times = found.setdefault((numbers, size), Times())
                    try:
                        measure_round(servables[numbers], images, times)
                    except OutOfDeviceMemoryError as error:
                        run.leave_out(f"{name} in {numbers.title}", error)
        run.tell(f"{name} alone: round {turn + 1} of {rounds}")
    for servable in servables.values():
        servable.close()
    record_alone(run, name, {key: times for key, times in found.items() if times.staged})


def compile_all(run: Run, network: Network) -> dict[Numbers, StagedJaxServable]:
    """Build a servable for each precision, as long as there is time."""
    servables = {}
    for numbers in NUMBERS:
        title = f"{network.manifest.name} in {numbers.title}"
        begin_s = time.monotonic()
        if run.left_s() < network.reserve_s:
            run.leave_out(title, "no time to compile it")
            continue
        try:
            servables[numbers] = build(
                network.folder, network.manifest, numbers, network.sizes_in(numbers)
            )
        except ServingError as error:
            run.leave_out(title, error)
            continue
        run.tell(f"{title}: compiled in {time.monotonic() - begin_s:.1f} s")
    return servables


def record_alone(run: Run, name: str, found: dict[tuple[Numbers, int], Times]) -> None:
    """Add the tables of ``measure_alone``."""
    run.figures[f"{name} alone"] = [
        {"numbers": numbers.title, "batch_size": size, **asdict(times)}
        for (numbers, size), times in found.items()
    ]
    sizes = sorted({size for _, size in found})
    titles = list(dict.fromkeys(numbers for numbers, _ in found))

    def add(title: str, cell: Callable[[int, Times], str]) -> None:
        rows = [
            [
                numbers.title,
                *(cell(s, found[numbers, s]) if (numbers, s) in found else "-" for s in sizes),
            ]
            for numbers in titles
        ]
        head = [f"{name}, by batch size", *map(str, sizes)]
        run.tables.append(Table(f"{name}: {title}", head, rows))

    add("images/s, next batch copied meanwhile", lambda n, t: number(n / median(t.staged)))
    add("the same, fewest and most of the rounds", _range)
    add("images/s, one after another", lambda n, t: number(n / median(t.serial)))
    add("ms, execution of images on the device", lambda _, t: number(median(t.execution) * 1e3))
    add("ms, copy to the device", lambda _, t: number(median(t.copy) * 1e3))
    add("copying, of a batch one after another", lambda _, t: f"{t.copy_share:.0%}")
    add("staging, times as fast", lambda _, t: f"{t.gain:.2f}")
    run.write()


def _range(size: int, times: Times) -> str:
    values = spread(size / taken for taken in times.staged)
    return f"{number(values.least)} to {number(values.most)}"


def measure_served(run: Run, network: Network, work: Path, clients: tuple[int, ...]) -> None:
    """Serve a network and load the server."""
    manifest = network.manifest
    pictures = work / f"pictures_{manifest.name}"
    write_pictures(pictures, manifest.input.spec.shape)
    spec = server_of(network.folder.parents[1], manifest.name, network.served_sizes)
    found: list[Loaded] = []
    try:
        for loaded in serve_and_load(
            spec, pictures, run.output, lambda: run.left_s() - network.reserve_s, clients
        ):
            found.append(loaded)
            run.tell(
                f"{manifest.name} served: {loaded.load.clients} clients, "
                f"{loaded.load.images_per_s:,.0f} images/s"
            )
    except BenchmarkError as error:
        run.leave_out(f"{manifest.name} served", error)
    missed = [count for count in clients if count not in {x.load.clients for x in found}]
    if missed:
        run.leave_out(f"{manifest.name} served to {missed} clients", "no time")
    record_served(run, manifest.name, found)


def record_served(run: Run, name: str, found: list[Loaded]) -> None:
    """Add the table of ``measure_served``."""
    run.figures[f"{name} served"] = [
        {
            "engine": x.engine,
            "load": asdict(x.load),
            "spent": asdict(x.spent),
            "gpu": asdict(x.gpu),
        }
        for x in found
    ]
    rows = {
        "images/s": [number(x.load.images_per_s) for x in found],
        "p50 ms": [number(x.load.p50_ms) for x in found],
        "p99 ms": [number(x.load.p99_ms) for x in found],
        "images per execution": [number(x.spent.batch_size) for x in found],
        "execution ms": [number(x.spent.execute_ms) for x in found],
        "queue ms": [number(x.spent.queue_ms) for x in found],
        "decoding ms": [number(x.spent.decode_ms) for x in found],
        "server, cores": [number(x.load.server_cores) for x in found],
        "its event loop, cores": [number(x.load.event_loop_cores) for x in found],
        "generator, cores": [number(x.load.generator_cores) for x in found],
        "GPU busy": ["-" if x.gpu.busy != x.gpu.busy else f"{x.gpu.busy:.0%}" for x in found],
        "failed": [str(x.load.failed) for x in found],
    }
    if found:
        head = ["clients", *(str(x.load.clients) for x in found)]
        title = f"{name}: served, {found[0].engine}"
        run.tables.append(Table(title, head, [[key, *cells] for key, cells in rows.items()]))
    run.write()


def measure(run: Run, options: argparse.Namespace, work: Path) -> None:
    """Do everything, the most telling first."""
    if "cifar10" in options.networks:
        measure_small(run, options, work)
    if "resnet50" in options.networks:
        measure_large(run, options, work)


def measure_small(run: Run, options: argparse.Namespace, work: Path) -> None:
    """Measure the CIFAR-10 network that the repository carries."""
    later_s = options.limit_s if "resnet50" in options.networks else 0.0
    small = Network(
        newest(ROOT / "models" / "cifar10"),
        options.sizes or SMALL_SIZES,
        options.sizes or SERVED_SIZES,
        reserve_s=later_s * 0.45 + _SERVING_S,
        step=1 if options.sizes else 2,
    )
    measure_alone(run, small, options.rounds)
    small.reserve_s = later_s * 0.45 + _STOPPING_S
    measure_served(run, small, work, options.clients)


def measure_large(run: Run, options: argparse.Namespace, work: Path) -> None:
    """Measure a network that is large enough for a GPU."""
    run.tell("publishing a ResNet-50")
    large = Network(
        publish_large_network(work / "models"),
        options.sizes or LARGE_SIZES,
        options.sizes or LARGE_SIZES,
        reserve_s=_SERVING_S,
    )
    measure_alone(run, large, options.rounds)
    large.reserve_s = _STOPPING_S
    measure_served(run, large, work, options.clients)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="when to be done")
    parser.add_argument("--networks", default="cifar10,resnet50", help="one of them, or both")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument(
        "--sizes", type=_numbers, default=(), help="of batches, e.g. 1,32,256, instead of all"
    )
    parser.add_argument("--clients", type=_numbers, default=CLIENTS, help="of each closed loop")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> int:
    """Measure, write and print."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cache = {
            "jax_compilation_cache_dir": str(work / "compiled"),
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        for name, value in cache.items():
            jax.config.update(name, value)
            os.environ[name.upper()] = str(value)  # for the servers
        run = Run(options.output, options.limit_s)
        run.tell(run.facts[1])
        try:
            measure(run, options, work)
        finally:
            run.write()
    print(run.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
