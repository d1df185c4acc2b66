"""CPU time of a process and of the machine, and one line on what the machine is."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROC = Path("/proc")
_LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "keras",
    "numpy",
    "pillow",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
)


def process_cpu_s(pid: int) -> float:
    """CPU seconds that all threads of a process have used so far.

    Read from ``/proc`` where there is one, otherwise from ``ps`` (hundredths of a second on
    macOS).

    Raises:
        ProcessLookupError: No such process.
    """
    if not _PROC.is_dir():
        return _process_cpu_from_ps(pid)
    return _cpu_from_stat(pid, _PROC / str(pid) / "stat")


def process_tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all that descend from it, ended ones included.

    An ended child counts once its parent has waited for it, which hands its time over. One whose
    parent ended before it belongs to the tree no more.

    Raises:
        ProcessLookupError: No such process.
    """
    if not _PROC.is_dir():
        return _tree_cpu_from_ps(pid)
    found = {}  # parent and CPU seconds by process
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = _stat_fields(int(path.parent.name), path)
        except (ProcessLookupError, PermissionError):
            continue
        ticks = sum(int(field) for field in fields[11:15])  # its own, and of waited-for children
        found[int(path.parent.name)] = (int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))
    return sum_tree(pid, found)


def sum_tree(pid: int, processes: Mapping[int, tuple[int, float]]) -> float:
    """Return the CPU seconds of a process and its descendants.

    Args:
        pid: The root.
        processes: Parent and CPU seconds by process.

    Raises:
        ProcessLookupError: The root is not among them.
    """
    if pid not in processes:
        raise ProcessLookupError(f"process {pid} is gone")
    tree, grown = {pid}, True
    while grown:
        children = {child for child, (parent, _) in processes.items() if parent in tree}
        grown = not children <= tree
        tree |= children
    return sum(processes[member][1] for member in tree)


def _tree_cpu_from_ps(pid: int) -> float:
    command = ["ps", "-A", "-o", "pid=,ppid=,time="]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in text.splitlines())
    return sum_tree(pid, {int(row[0]): (int(row[1]), parse_ps_time(row[2])) for row in rows})


def main_thread_cpu_s(pid: int) -> float:
    """CPU seconds of a process's main thread, where Python servers run their event loop.

    NaN without ``/proc``.

    Raises:
        ProcessLookupError: No such process.
    """
    if not _PROC.is_dir():
        return float("nan")
    return _cpu_from_stat(pid, _PROC / str(pid) / "task" / str(pid) / "stat")


def _cpu_from_stat(pid: int, path: Path) -> float:
    fields = _stat_fields(pid, path)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat_fields(pid: int, path: Path) -> list[str]:
    """Return the fields of proc(5) from the third on; utime and stime are at 11 and 12."""
    try:
        text = path.read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
    return text.rpartition(")")[2].split()  # the name in parentheses may hold spaces


def _process_cpu_from_ps(pid: int) -> float:
    command = ["ps", "-o", "time=", "-p", str(pid)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not text:
        raise ProcessLookupError(f"process {pid} is gone")
    return parse_ps_time(text)


def parse_ps_time(text: str) -> float:
    """Return the seconds in ``[[dd-]hh:]mm:ss[.cc]``."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86_400 * int(days or 0)


def machine_busy_s() -> float:
    """CPU seconds that all cores were busy so far, stolen time included; NaN without ``/proc``."""
    try:
        line = (_PROC / "stat").read_text().splitlines()[0]
    except FileNotFoundError:
        return float("nan")
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_name() -> str:
    try:
        for line in (_PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except FileNotFoundError:
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return result.stdout.strip()
    return platform.processor() or platform.machine()


def machine_line() -> str:
    """Return processor, cores, system and the versions of what serves."""
    found = []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    cores = usable_cores()
    return (
        f"{_processor_name()}, {cores} {'core' if cores == 1 else 'cores'}, {system}, "
        f"Python {platform.python_version()}, {', '.join(found)}"
    )
