"""A line on a terminal that says how far long work is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from time import perf_counter
from typing import TextIO

_EVERY_S = 0.1
"""More often, nobody could read it."""
_BAR_WIDTH = 24
_ERASE = "\r\x1b[K"


class ProgressBar:
    """One line that is written over; nothing at all where the stream is no terminal."""

    def __init__(
        self,
        total: int,
        stream: TextIO,
        *,
        is_enabled: bool = True,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Show nothing yet.

        Args:
            total: What there is to do; it may turn out to be another number.
            stream: The terminal.
            is_enabled: Whether to show anything on it.
            clock: In seconds.
        """
        self._total = total
        self._stream = stream
        self._clock = clock
        self._is_shown = is_enabled and stream.isatty()
        self._began_s = clock()
        self._next_s = self._began_s + _EVERY_S

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` are done, a tenth of a second after the last time at the earliest."""
        now_s = self._clock()
        if not self._is_shown or now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        line = self._line(done, now_s - self._began_s, note)
        width = shutil.get_terminal_size().columns - 1  # a full line would begin another one
        self._stream.write(f"{_ERASE}{line[:width]}")
        self._stream.flush()

    def close(self) -> None:
        """Take it away, so that the next line begins where it stood."""
        if self._is_shown:
            self._stream.write(_ERASE)
            self._stream.flush()

    def _line(self, done: int, elapsed_s: float, note: str) -> str:
        share = min(done / self._total, 1.0) if self._total else 1.0
        bar = "#" * round(share * _BAR_WIDTH)
        rate = done / elapsed_s if elapsed_s > 0 else 0.0
        left_s = max(self._total - done, 0) / rate if rate else 0.0
        return (
            f"[{bar:<{_BAR_WIDTH}}] {share:4.0%}  {done:,}/{self._total:,}  {rate:,.0f}/s  "
            f"{_duration(left_s)} left{note}"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
