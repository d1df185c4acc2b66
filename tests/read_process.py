"""A process whose lines are read as they come."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable


class ReadProcess:
    """A process, and what it has written to stderr; a thread reads it, so that it never blocks."""

    def __init__(self, process: subprocess.Popen[str], patience_s: float) -> None:
        """``patience_s``: for how long a line is waited for."""
        self.process = process
        self._patience_s = patience_s
        self._lines: list[str] = []
        self._has_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait_for_line(self, is_wanted: Callable[[str], bool], wanted: str) -> str:
        """Return the first line that is wanted, as soon as it is there."""
        deadline_s = time.monotonic() + self._patience_s
        with self._changed:
            seen = 0
            while True:
                for line in self._lines[seen:]:
                    if is_wanted(line):
                        return line
                seen = len(self._lines)
                left_s = deadline_s - time.monotonic()
                if self._has_ended or not self._changed.wait(max(left_s, 0)):
                    last = "".join(self._lines[-3:])
                    raise AssertionError(f"no {wanted}; the last lines: {last}")

    def kill(self) -> None:
        """End the process, if it has not ended, and everything that belongs to it."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
