"""How long a device has been executing."""

from __future__ import annotations

import threading
import time

from app.types import Clock


class DeviceTimer:
    """Counts the seconds in which at least one execution is under way; an ``ExecutionTimer``.

    What runs on one device at once, of several versions or in several streams, counts once: the
    rate is the share of the time in which the device was busy, from 0 to 1. An execution that hangs
    counts for as long as it hangs.

    Entered and left by device threads, once for each execution, read by any thread.
    """

    __slots__ = ("_busy_s", "_clock", "_lock", "_since_s", "_under_way")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Begin at 0."""
        self._clock = clock
        self._lock = threading.Lock()  # guards the three below
        self._under_way = 0
        self._since_s = 0.0
        self._busy_s = 0.0

    def __enter__(self) -> None:
        """Begin one more execution."""
        with self._lock:
            if self._under_way == 0:
                self._since_s = self._clock()
            self._under_way += 1

    def __exit__(self, *raised: object) -> None:
        """End one of them, whatever it raised."""
        with self._lock:
            self._under_way -= 1
            if self._under_way == 0:
                self._busy_s += self._clock() - self._since_s

    @property
    def busy_s(self) -> float:
        """Seconds until now; only ever more."""
        with self._lock:
            running_s = self._clock() - self._since_s if self._under_way else 0.0
            return self._busy_s + running_s
