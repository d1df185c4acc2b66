"""``python -m benchmarks.swaps``: what new versions cost those who are being served.

A real server under load, into whose store copies of the published CIFAR-10 version are put, one as
soon as the one before has taken over. Windows without swaps and windows full of them alternate; the
ratio of their p99 is taken within a round. Resident memory is read after each swap.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.comparison import READY_TIMEOUT_S
from benchmarks.generator import generate_load
from benchmarks.load.measurement import Measurement
from benchmarks.pictures import write_pictures
from benchmarks.processors import machine_line
from benchmarks.report import Table, number, spread
from benchmarks.servers import ROOT, BenchmarkError, ServerProcess, ServerSpec

MOST_P99_RATIO = 3.0
MOST_MEMORY_RATIO = 1.15
MEMORY_SWAPS = 20
MODEL = "cifar10"
WARM_UP_S = 2.0
SWAP_TIMEOUT_S = 120.0
_POLL_S = 0.05


@dataclass(slots=True)
class Measured:
    """What was found.

    Attributes:
        quiet: Windows without swaps, one per round.
        swapping: Windows with as many swaps as there was time for, one per round.
        swap_s: From the appearance of a version to the end of the one before.
        resident_mib: Of the server's memory, after each swap.
    """

    quiet: list[Measurement] = field(default_factory=list)
    swapping: list[Measurement] = field(default_factory=list)
    swap_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)

    @property
    def p99_ratios(self) -> list[float]:
        """With swaps over without, by round."""
        pairs = zip(self.swapping, self.quiet, strict=True)
        return [with_swaps.p99_ms / without.p99_ms for with_swaps, without in pairs]

    @property
    def memory_ratio(self) -> float:
        """After the twentieth swap over after the second one, or after the last there is."""
        return self.resident_mib[:MEMORY_SWAPS][-1] / self.resident_mib[1]

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return sum(window.failed for window in (*self.quiet, *self.swapping))


class Store:
    """A store that gets ever newer copies of one version."""

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        self._source = source
        self.newest = 0

    def publish(self) -> int:
        """Put the next version there by one rename; return its number."""
        self.newest += 1
        folder = self.root / MODEL
        staging = folder / f".staging-{self.newest}"
        shutil.copytree(self._source, staging)
        manifest = staging / "manifest.json"
        content = json.loads(manifest.read_text(encoding="utf-8")) | {"version": self.newest}
        manifest.write_text(json.dumps(content), encoding="utf-8")
        staging.rename(folder / str(self.newest))
        return self.newest

    def remove(self, version: int) -> None:
        """Free the disk of a version that has ended."""
        shutil.rmtree(self.root / MODEL / str(version))


class Swapper(threading.Thread):
    """Publishes version after version while a window lasts."""

    def __init__(self, server: ServerProcess, store: Store, measured: Measured) -> None:
        super().__init__()
        self._server = server
        self._store = store
        self._measured = measured
        self._is_over = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._swap()
        except BaseException as error:  # raised again where the window ends
            self.error = error

    def stop(self) -> None:
        """Finish the swap in hand."""
        self._is_over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def _swap(self) -> None:
        began = time.monotonic()
        old = self._store.newest
        new = self._store.publish()
        while True:
            states = version_states(self._server)
            if states.get(new) == "AVAILABLE" and states.get(old) == "END":
                break
            if states.get(new) == "FAILED" or time.monotonic() - began > SWAP_TIMEOUT_S:
                raise BenchmarkError(f"{MODEL}:{new} did not take over: {states}")
            time.sleep(_POLL_S)
        self._measured.swap_s.append(time.monotonic() - began)
        self._measured.resident_mib.append(resident_mib(self._server.pid))
        self._store.remove(old)


def version_states(server: ServerProcess) -> dict[int, str]:
    """Return the states of all versions of the model."""
    models: list[dict[str, Any]] = json.loads(server.get("/v1/models"))["models"]
    return {version["version"]: version["state"] for version in models[0]["versions"]}


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, MiB; Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024


def measure(options: argparse.Namespace, place: Path) -> Measured:
    """Run all rounds on one server.

    Raises:
        BenchmarkError: The server ended, or a version did not take over.
    """
    store = Store(place / "store", newest_version(options.model_dir))
    (store.root / MODEL).mkdir(parents=True)
    store.publish()
    pictures = place / "pictures"
    write_pictures(pictures)
    spec = ServerSpec(
        name="keraserve",
        command=("-m", "app", "serve", "--port", "{port}", "--model-dir", str(store.root)),
        target="/v1/classify",
        ready_path="/readyz",
        environment={
            "KERASERVE_LOG_FORMAT": "json",
            "KERASERVE_STORE_POLL_INTERVAL_S": "1",
            "KERASERVE_KEEP_WARM_S": "0",
        },
    )
    measured = Measured()
    with ServerProcess(spec, place) as server:
        server.wait_ready(READY_TIMEOUT_S)
        for round_ in range(1, options.rounds + 1):
            measured.quiet.append(_window(server, pictures, options))
            swapper = Swapper(server, store, measured)
            swapper.start()
            try:
                measured.swapping.append(_window(server, pictures, options))
            finally:
                swapper.stop()
            print(
                f"round {round_}/{options.rounds}: p99 {measured.quiet[-1].p99_ms:.1f} ms without, "
                f"{measured.swapping[-1].p99_ms:.1f} ms with swaps, {len(measured.swap_s)} so far",
                file=sys.stderr,
            )
    return measured


def _window(server: ServerProcess, pictures: Path, options: argparse.Namespace) -> Measurement:
    return generate_load(
        server, pictures, options.clients, seconds=options.seconds, warm_up_s=WARM_UP_S
    )


def newest_version(model_dir: Path) -> Path:
    """Return the folder of the newest published version of the model."""
    folders = [path for path in (model_dir / MODEL).glob("*") if path.name.isdigit()]
    if not folders:
        raise BenchmarkError(f"{model_dir} holds no version of {MODEL}")
    return max(folders, key=lambda folder: int(folder.name))


def table(measured: Measured) -> Table:
    """Return one row per kind of window."""
    rows = [
        (
            name,
            number(spread(window.images_per_s for window in windows).middle),
            f"{spread(window.p50_ms for window in windows)}",
            f"{spread(window.p99_ms for window in windows)}",
            str(sum(window.failed for window in windows)),
        )
        for name, windows in (("without", measured.quiet), ("with swaps", measured.swapping))
    ]
    return Table("requests", ("windows", "images/s", "p50 ms", "p99 ms", "failed"), rows)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swaps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each window")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    try:
        with tempfile.TemporaryDirectory(prefix="keraserve-swaps-") as place:
            measured = measure(options, Path(place))
    except BenchmarkError as error:
        print(f"benchmarks.swaps: {error}", file=sys.stderr)
        return 2
    print(machine_line())
    print(f"\n{table(measured).as_text()}\n")
    ratios, memory = spread(measured.p99_ratios), measured.memory_ratio
    print(f"{len(measured.swap_s)} swaps of {spread(measured.swap_s)} s each")
    print("resident memory after each, MiB: " + " ".join(f"{v:.0f}" for v in measured.resident_mib))
    counted = min(MEMORY_SWAPS, len(measured.swap_s))
    verdicts = (
        (
            f"p99 with swaps over without: {ratios} (at most {MOST_P99_RATIO:g})",
            ratios.middle <= MOST_P99_RATIO,
        ),
        (
            f"memory after swap {counted} over after the second: {memory:.3f} "
            f"(at most {MOST_MEMORY_RATIO:g})",
            memory <= MOST_MEMORY_RATIO,
        ),
        (f"failed requests: {measured.failed} (none)", not measured.failed),
    )
    for line, is_met in verdicts:
        print(f"{line}, {'met' if is_met else 'missed'}")
    return 1 if options.strict and not all(is_met for _, is_met in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
