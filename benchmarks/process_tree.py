"""All processes of one server, however it made them: their CPU time, their memory, their end.

A server is found by a variable that its processes inherit. Parent and group do not do: Ray starts
its workers in sessions of their own, and what loses its parent is given to another one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.processors import process_cpu_s

MARK = "BENCHMARK_SERVER"
_PROC = Path("/proc")
_END_INTERVAL_S = 0.05


def marked(value: str) -> list[int]:
    """Return the processes whose environment has ``MARK`` with this value; Linux only."""
    wanted = f"{MARK}={value}".encode()
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used; ended ones count nothing."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            total += process_cpu_s(pid)
    return total


def memory_mib(pids: Iterable[int]) -> float:
    """Return the proportional set size of all together, MiB.

    A page that several of them share is counted once, not once for each as in the resident size:
    a server of eight processes holds one copy of its libraries.
    """
    total_kib = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
            total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total_kib / 1024


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for_end(value: str, timeout_s: float) -> list[int]:
    """Wait until no process has the mark; return those that still have it after ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while (left := marked(value)) and time.monotonic() < until:
        time.sleep(_END_INTERVAL_S)
    return left
