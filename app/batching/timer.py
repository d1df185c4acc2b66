"""One timer that is set to a moment of the batcher's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from app.types import Clock


class TimerHandle(Protocol):
    """What ``CallLater`` returns."""

    def cancel(self) -> object:
        """Do not call back."""
        ...


CallLater: TypeAlias = Callable[[float, Callable[[], None]], TimerHandle]
"""``call_later(delay_s, callback)``, as the event loop has it."""


class MomentTimer:
    """Calls back once when the clock reaches a moment; owned by the event loop."""

    __slots__ = ("_call_later", "_callback", "_clock", "_handle", "_moment_s")

    def __init__(self, callback: Callable[[float], None], clock: Clock, later: CallLater) -> None:
        """Prepare an unset timer.

        Args:
            callback: Called with the clock's time, or with the moment itself where the event loop
                was early: loops round to milliseconds, and a callback that found its moment not
                reached would set the timer again and again for the last fraction.
            clock: Monotonic seconds.
            later: Timer that goes with ``clock``.
        """
        self._callback = callback
        self._clock = clock
        self._call_later = later
        self._handle: TimerHandle | None = None
        self._moment_s: float | None = None

    def set(self, moment_s: float | None) -> None:
        """Move the timer to ``moment_s``; None stops it. Free where nothing changes."""
        if moment_s == self._moment_s:
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._moment_s = moment_s
        if moment_s is not None:
            self._handle = self._call_later(max(0.0, moment_s - self._clock()), self._fire)

    def _fire(self) -> None:
        moment_s = self._moment_s
        self._handle = self._moment_s = None
        if moment_s is not None:
            self._callback(max(moment_s, self._clock()))
