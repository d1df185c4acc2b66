"""What a server holds; Linux only."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Census:
    """What a server held at one moment.

    Attributes:
        resident_mib: Memory.
        threads: Of the process.
        descriptors: Open files, sockets and the like.
        tasks: Of the event loop.
    """

    resident_mib: float
    threads: int
    descriptors: int
    tasks: int


def take_census(pid: int, task_file: Path) -> Census:
    """Ask the system, and the server (``counting_server``), what it holds.

    Raises:
        TimeoutError: The server does not answer the signal.
    """
    process = Path(f"/proc/{pid}")
    task_file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    by_s = time.monotonic() + _PATIENCE_S
    while not task_file.exists():
        if time.monotonic() > by_s:
            raise TimeoutError(f"process {pid} does not count its tasks")
        time.sleep(_POLL_S)
    status = (process / "status").read_text(encoding="ascii").splitlines()
    (resident_kib,) = (line.split()[1] for line in status if line.startswith("VmRSS:"))
    return Census(
        resident_mib=int(resident_kib) / 1024,
        threads=sum(1 for _ in (process / "task").iterdir()),
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        tasks=int(task_file.read_text(encoding="ascii")),
    )
