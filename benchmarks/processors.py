"""CPU time of a process and of the machine, and one line on what the machine is."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROC = Path("/proc")
_LIBRARIES = (
    "tensorflow",
    "tensorflow-cpu",
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
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
    # The name in parentheses may hold spaces; utime and stime are fields 14 and 15 of proc(5).
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
