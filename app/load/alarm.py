"""Wakes the event loop at a point in time, more finely than its own timers where it can."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from time import perf_counter

_CLOCK_MONOTONIC = 1  # that of perf_counter on Linux
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("first", _Timespec))


class Alarm:
    """Calls back at a time of ``perf_counter``, once for each ``set``.

    The timers of the event loop count whole milliseconds, as much as an answer takes: every request
    of an open loop would leave half a millisecond late on average. On Linux a timerfd wakes it
    instead (timerfd_create(2); Python has it from 3.13 on, until when it is called through
    ``ctypes``); elsewhere the event loop's timer does, rounded up.

    Everything runs on the event loop that made it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when it is time."""
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._file = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            flags = os.O_NONBLOCK | os.O_CLOEXEC
            self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, flags)
        if self._file >= 0:
            self._loop.add_reader(self._file, self._ring)

    def set(self, at_s: float) -> None:
        """Call back at this time, or soon if it is past; replaces an earlier one."""
        if self._file >= 0:
            # Zero would disarm it.
            seconds, nanoseconds = divmod(max(1, int(at_s * 1e9)), 10**9)
            spec = _TimerSpec(first=_Timespec(seconds, nanoseconds))
            if self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(spec), None) == 0:
                return
        if self._timer is not None:
            self._timer.cancel()
        # Up to the next millisecond: down, the loop would turn until it is time.
        delay_s = max(0.0, -(-(at_s - perf_counter()) // 1e-3)) * 1e-3
        self._timer = self._loop.call_later(delay_s, self._wake)

    def close(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _ring(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # set to another time meanwhile
            return
        self._wake()
