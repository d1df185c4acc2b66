"""Fills long arrays of images row by row: several threads, a progress bar, within memory."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

from tqdm import tqdm

from app.types import InputSpec
from training.data.dataset import DataError

_MOST_TASKS = 1000
"""A bar moves in no finer steps, and handing over a task costs as much as a tiny image."""

_BAR_DELAY_S = 1.0
"""What is done sooner needs no bar."""


def fill_rows(
    count: int, work: Callable[[int], str | None], *, activity: str = "reading"
) -> dict[int, str]:
    """Call ``work(row)`` for every row below ``count``, on as many threads as there are cores.

    The bar is on stderr, and only on a terminal. An exception of ``work`` ends everything, as
    Ctrl-C does: rows that have not begun are dropped.

    Args:
        count: Number of rows.
        work: Does one row; returns why it could not, or None.
        activity: What the bar says.

    Returns:
        Row and reason of those that could not be done, ascending.
    """

    rows_per_task = math.ceil(count / _MOST_TASKS) or 1
    stop = threading.Event()

    def work_on(start: int) -> dict[int, str]:
        failed: dict[int, str] = {}
        with ExitStack() as undone:
            undone.callback(stop.set)  # the others need not go on either
            for row in range(start, min(start + rows_per_task, count)):
                if stop.is_set():
                    break
                reason = work(row)
                if reason is not None:
                    failed[row] = reason
            undone.pop_all()
        return failed

    failed: dict[int, str] = {}
    with (
        tqdm(
            total=count,
            desc=activity,
            unit="image",
            leave=False,
            disable=None,  # None: quiet unless stderr is a terminal
            delay=_BAR_DELAY_S,
        ) as bar,
        ThreadPoolExecutor(_cores(), thread_name_prefix="data") as pool,
    ):
        try:
            starts = range(0, count, rows_per_task)
            for task in as_completed([pool.submit(work_on, start) for start in starts]):
                failed |= task.result()
                bar.update(min(rows_per_task, count - bar.n))
        finally:
            stop.set()  # the pool waits for its tasks, also after Ctrl-C
    return dict(sorted(failed.items()))


def check_memory(counts: Mapping[str, int], spec: InputSpec) -> None:
    """Refuse a set whose pixels do not fit into the machine, before the system kills the process.

    Args:
        counts: Images of each part. Training images that other parts are taken from are held
            twice for a moment.
        spec: The size that they get.

    Raises:
        DataError: They take more than the physical memory.
    """
    memory_bytes = _physical_memory_bytes()
    divided = {"validation", "test"} - set(counts)
    images = sum(counts.values()) + (counts["train"] if divided else 0)
    needed_bytes = images * math.prod(spec.shape)
    if memory_bytes is not None and needed_bytes > memory_bytes:
        raise DataError(
            f"{sum(counts.values()):,} images of {spec.height} × {spec.width} × {spec.channels} "
            f"take {needed_bytes / 1e9:.1f} GB{' while they are divided' if divided else ''}, the "
            f"machine has {memory_bytes / 1e9:.1f} GB; give the network smaller ones with "
            "data.input"
        )


def _physical_memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, and systems that do not say
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # a container's share, where it is set so
    return os.cpu_count() or 1
