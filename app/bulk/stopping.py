"""Ends a long run between two results when it is told to, instead of in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether a run should end.

    Signals arrive in the main thread; ``is_set`` may be read from any.
    """

    def __init__(self) -> None:
        """Start without one."""
        self.signal: signal.Signals | None = None
        self._callbacks: list[Callable[[], object]] = []

    @property
    def is_set(self) -> bool:
        """Whether it should end."""
        return self.signal is not None

    def set(self, number: signal.Signals) -> None:
        """Ask the run to end; ``number`` says what for."""
        self.signal = number
        for callback in self._callbacks:
            callback()

    def on_set(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called by ``set``; at once where that was before."""
        self._callbacks.append(callback)
        if self.is_set:
            callback()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for the end; a second one ends the process, whatever hangs."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.is_set:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.set(signal.Signals(number))

        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, handle) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
