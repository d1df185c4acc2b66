"""What ``nvidia-smi`` says of the GPU while something runs."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

_EVERY_MS = 200


@dataclass(slots=True)
class Utilisation:
    """Filled in when the watching ends; NaN where there is no ``nvidia-smi``.

    Attributes:
        busy: Mean share of the time in which a kernel ran, 0..1.
        memory_bytes: Most that was taken, by all processes.
    """

    busy: float = nan
    memory_bytes: float = nan


@contextlib.contextmanager
def watched() -> Iterator[Utilisation]:
    """Watch the first GPU meanwhile."""
    found = Utilisation()
    command = [
        "nvidia-smi",
        "--id=0",
        "--query-gpu=utilization.gpu,memory.used",
        "--format=csv,noheader,nounits",
        f"--loop-ms={_EVERY_MS}",
    ]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield found
        return
    try:
        yield found
    finally:
        process.terminate()
        text, _ = process.communicate()
        _fill(found, text)


def _fill(found: Utilisation, text: str) -> None:
    rows = [line.split(",") for line in text.splitlines() if line.count(",") == 1]
    readings = []
    for row in rows:
        with contextlib.suppress(ValueError):  # a line that was cut off, or "[N/A]"
            readings.append((float(row[0]), float(row[1])))
    if readings:
        found.busy = sum(busy for busy, _ in readings) / len(readings) / 100
        found.memory_bytes = max(mib for _, mib in readings) * 2**20
