"""How the threads of this process share the cores with each other and with other processes."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def take_turns() -> None:
    """Have threads that wake wait until the one that runs has had its time slice.

    Otherwise an event loop takes the core from an execution for each packet that comes, thousands
    of times a second. Where all cores are busy, that cost a seventh of the answers under overload
    and a twentieth of them else. An idle core is had at once, as before. Threads inherit it from
    those that start them. It needs no privilege, and Linux; see SCHED_BATCH in sched(7).
    """
    if sys.platform != "linux":
        return
    for task in Path("/proc/self/task").iterdir():  # libraries have started some
        with contextlib.suppress(OSError):  # a sandbox forbids it: slower under load, no worse
            os.sched_setscheduler(int(task.name), os.SCHED_BATCH, os.sched_param(0))
