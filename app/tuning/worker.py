"""The inside of a measuring process: executes batches of one candidate, as told, and times them.

Started by ``measuring_process``, with which it speaks JSON over a connection it inherits. It ends
when the other side is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import OutOfDeviceMemoryError, ServingError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import LoadServable, prepare_servable
from app.types import ImageArray, Servable, ServableGroup

_MOST_EXECUTIONS = 2000
"""Of one measurement: a p99 needs no more, and the answer stays small."""


def run(connection: Connection) -> NoReturn:
    """Load what is asked for, then measure until the other side is gone.

    Raises:
        EOFError: It is gone.
        ConnectionError: It is gone, and does not read an answer any more.
        ServingError: The version cannot be loaded, or not be executed.
    """
    job = _receive(connection)
    folder = Path(job["folder"])
    manifest = read_manifest(folder)
    policy = EnginePolicy(
        job["engine"], job["precision"], tuple(job["batch_sizes"]), job["threads"]
    )
    servable, sizes = prepare_what_fits(folder, manifest, policy)
    shared_from = servable.joins_at if isinstance(servable, ServableGroup) else 1
    ready = {"batch_sizes": sizes, "shared_from": shared_from, "memory_bytes": resident_bytes()}
    _send(connection, ready)
    while True:
        order = _receive(connection)
        size = order["batch_size"]
        shape = (size, *manifest.input.spec.shape)
        images = np.random.default_rng(size).integers(0, 256, shape, np.uint8)
        durations = time_executions(servable, images, order["seconds"])
        _send(connection, {"durations_s": durations, "memory_bytes": resident_bytes()})


def prepare_what_fits(
    folder: Path, manifest: Manifest, policy: EnginePolicy, load: LoadServable = load_servable
) -> tuple[Servable, tuple[int, ...]]:
    """Load, warm up and test, without the batch sizes that the device has no memory for.

    Returns:
        The servable, and the batch sizes it takes.

    Raises:
        ArtifactError: It cannot be loaded, or computes something else than training did.
        OutOfDeviceMemoryError: There is no room for the smallest batch.
    """
    try:
        servable, _ = prepare_servable(folder, manifest, policy, load)
    except OutOfDeviceMemoryError:
        smaller = policy.allowed_batch_sizes[:-1]
        if not smaller:
            raise
        fitting = replace(policy, allowed_batch_sizes=smaller)
        return prepare_what_fits(folder, manifest, fitting, load)
    return servable, policy.allowed_batch_sizes


def time_executions(
    servable: Servable,
    images: ImageArray,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Execute one batch again and again; return how long each execution took, s.

    Args:
        servable: What executes.
        images: ``(N, H, W, C)`` uint8, 0..255; executed once more before, untimed.
        seconds: How long to go on; one execution is timed whatever it takes.
        clock: In seconds.
    """
    servable.execute(images)
    durations: list[float] = []
    begin = clock()
    last = begin
    while not durations or (last - begin < seconds and len(durations) < _MOST_EXECUTIONS):
        servable.execute(images)
        now = clock()
        durations.append(now - last)
        last = now
    return durations


def resident_bytes() -> int:
    """Memory of this process; the most it ever was where the system does not tell the present."""
    with contextlib.suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _receive(connection: Connection) -> Any:
    return json.loads(connection.recv_bytes())


def _send(connection: Connection, message: Any) -> None:
    connection.send_bytes(json.dumps(message).encode())


def main() -> int:
    """Run until the other side is gone, or until something fails; it is told what."""
    connection = Connection(int(sys.argv[1]))
    try:
        run(connection)
    except (EOFError, ConnectionError):
        return 0
    except Exception as error:  # whatever an engine raises: a reason is owed for every candidate
        message = str(error) if isinstance(error, ServingError) else repr(error)
        with contextlib.suppress(ConnectionError):
            _send(connection, {"error": message})
        return 1


if __name__ == "__main__":
    sys.exit(main())
