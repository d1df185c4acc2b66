"""Tells when a folder, or a file in it, may have changed."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from watchfiles import awatch

logger = logging.getLogger(__name__)

WatchMode = Literal["events", "poll", "off"]

# Copying a version is hundreds of events: they count as one once nothing happened for this long.
_DEBOUNCE_MS = 500
_STEP_MS = 100


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """How a folder is watched.

    Attributes:
        mode: By the events of the operating system, which network file systems do not send; by
            comparing time stamps; or not at all.
        interval_s: How often to look in any case, s; in ``poll``, how often to compare.
    """

    mode: WatchMode = "events"
    interval_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse to look all the time."""
        if self.interval_s <= 0:
            raise ValueError(f"interval_s is {self.interval_s:g}, must be above 0")


async def folder_changes(
    folder: Path, policy: WatchPolicy, *, is_deep: bool = True
) -> AsyncGenerator[None, None]:
    """Yield whenever ``folder`` may look different from before; for ever, unless the mode is off.

    Events are a hint that makes it quick. Each ``interval_s`` it yields without one, so that a lost
    event, a file system without events, or a folder that is taken away and put back costs time and
    nothing else.

    A file is watched through its folder: one that is replaced by a rename is another file then, and
    whoever watched the old one would hear nothing any more.

    Args:
        folder: It need not exist.
        policy: How to watch it.
        is_deep: With everything below it, or the entries of the folder alone.
    """
    if policy.mode == "off":
        return
    fault: str | None = None
    while True:
        try:
            watched = await asyncio.to_thread(_identity, folder)
            if watched is None:
                await asyncio.sleep(policy.interval_s)
                yield
                continue
            async for _ in _events(folder, policy, is_deep):
                fault = None
                yield
                if await asyncio.to_thread(_identity, folder) != watched:
                    break  # what is watched is not in that place any more
        except (OSError, RuntimeError) as error:
            # It vanished just now, or the system has no watches left, or no threads; then looking
            # must do.
            if str(error) != fault:  # said once
                fault = str(error)
                fields = {"folder": str(folder), "reason": fault, "interval_s": policy.interval_s}
                logger.warning("folder not watched, looking at intervals", extra=fields)
            await asyncio.sleep(policy.interval_s)
            yield


async def follow_file(file: Path, reread: Callable[[], None], policy: WatchPolicy) -> None:
    """Have a file read again whenever it may have changed, until cancelled.

    Whatever goes wrong is logged once and tried again each ``interval_s``.

    Args:
        file: Watched through its folder.
        reread: Called in a thread, one call at a time, also for what came before it is watched.
        policy: How to watch; where the mode is off, it is read once more and that is all.
    """
    fault: str | None = None
    while True:
        try:
            await asyncio.to_thread(reread)
            fault = None
            changes = folder_changes(file.parent, policy, is_deep=False)
            async with aclosing(changes):
                async for _ in changes:
                    await asyncio.to_thread(reread)
        except Exception as error:  # a fault of ours, or the system has no threads left
            if repr(error) != fault:  # said once
                fault = repr(error)
                fields = {"file": file.name, "again_in_s": policy.interval_s}
                logger.exception("following a file broke off", extra=fields)
        else:
            return
        await asyncio.sleep(policy.interval_s)


def _events(folder: Path, policy: WatchPolicy, is_deep: bool) -> AsyncIterator[object]:
    milliseconds = max(round(policy.interval_s * 1000), 1)
    return awatch(
        folder,
        watch_filter=None,
        debounce=min(_DEBOUNCE_MS, milliseconds),
        step=min(_STEP_MS, milliseconds),
        rust_timeout=milliseconds,
        yield_on_timeout=True,
        force_polling=policy.mode == "poll",
        poll_delay_ms=milliseconds,
        recursive=is_deep,
        ignore_permission_denied=True,
    )


def is_mounted_alone(file: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Tell whether a file, not its folder, was mounted; on Linux, elsewhere it is not known.

    Such a file stays the one that it was: another one that takes its place outside, by a rename, is
    not seen inside. ``os.path.ismount`` does not know files of the same file system.

    Args:
        file: Or a link to it.
        mounts: What the system says of its mounts.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return False
    path = os.path.realpath(file)
    return any(_unescaped(field) == path for line in lines for field in line.split(" ")[4:5])


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
