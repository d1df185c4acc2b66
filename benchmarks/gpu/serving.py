"""The server's own process with the jax engine, under closed loops of clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.load.counters import Spent, parse_totals, spent
from benchmarks.generator import generate_load
from benchmarks.gpu.utilisation import Utilisation, watched
from benchmarks.load.measurement import Measurement
from benchmarks.servers import ServerProcess, ServerSpec

CLIENTS = (1, 8, 64, 256)
SECONDS, WARM_UP_S = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """One closed loop: what clients saw, what the server counted, what the GPU did.

    Attributes:
        engine: Engine, precision and device, as the server tells them.
    """

    engine: str
    load: Measurement
    spent: Spent
    gpu: Utilisation


def server_of(store_dir: Path, name: str, batch_sizes: tuple[int, ...]) -> ServerSpec:
    """Return how to serve a model of a store with the jax engine, in the precision it chooses."""
    return ServerSpec(
        name=f"keraserve_{name}",
        command=("-m", "app", "serve"),
        target="/v1/classify",
        ready_path="/readyz",
        environment={
            "KERASERVE_PORT": "{port}",
            "KERASERVE_MODELS": name,
            "KERASERVE_DEFAULT_MODEL": name,
            "KERASERVE_MODEL_DIR": str(store_dir.resolve()),
            "KERASERVE_ENGINE": "jax",
            "KERASERVE_MAX_BATCH_SIZE": str(batch_sizes[-1]),
            "KERASERVE_ALLOWED_BATCH_SIZES": ",".join(map(str, batch_sizes)),
            # Each picture counts: the generator sends 256 different ones again and again.
            "KERASERVE_COALESCE": "false",
        },
        metrics_path="/metrics",
    )


def serve_and_load(
    spec: ServerSpec,
    pictures: Path,
    folder: Path,
    left_s: Callable[[], float],
    clients: tuple[int, ...] = CLIENTS,
) -> Iterator[Loaded]:
    """Start the server and yield what each load gives, as long as there is time.

    Args:
        spec: The server.
        pictures: Folder of the images that are sent.
        folder: Where the server's log is written.
        left_s: Seconds that are left; asked before each load.
        clients: Of each loop.

    Raises:
        BenchmarkError: The server was not ready in time, or ended.
    """
    with ServerProcess(spec, folder) as server:
        server.wait_ready(max(left_s(), 1.0))
        engine = _engine(server)
        for count in clients:
            if left_s() < 2 * (SECONDS + WARM_UP_S):
                return
            before = parse_totals(server.get("/metrics").decode())
            with watched() as gpu:
                load = generate_load(server, pictures, count, seconds=SECONDS, warm_up_s=WARM_UP_S)
            after = parse_totals(server.get("/metrics").decode())
            yield Loaded(engine, load, spent(before, after), gpu)


def _engine(server: ServerProcess) -> str:
    """Return what executes the first version that is available."""
    models = json.loads(server.get("/v1/models"))["models"]
    served = next(v for m in models for v in m["versions"] if v["state"] == "AVAILABLE")
    return f"{served['engine']} {served['precision']} on {served['device']}"
