"""The server as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0  # beside another test and whatever else the machine does


class Server:
    """A process and what it has logged so far; a thread reads it, so that it never blocks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[dict[str, Any]] = []
        self._has_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.startswith("{"):
                with self._changed:
                    self._lines.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait_for(self, message: str, **fields: Any) -> dict[str, Any]:
        """Return the first line with this message and these fields, as soon as it is there."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            seen = 0
            while True:
                for line in self._lines[seen:]:
                    if line["message"] == message and fields.items() <= line.items():
                        return line
                seen = len(self._lines)
                left_s = deadline - time.monotonic()
                if self._has_ended or not self._changed.wait(max(left_s, 0)):
                    last = self._lines[-3:]
                    raise AssertionError(f"no {message!r} with {fields}; the last lines: {last}")

    def kill(self) -> None:
        """End the process, if it has not ended, and everything that belongs to it."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        return str(self.wait_for("listening")["url"])


@contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """Start it on a free port, and kill it at the end."""
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--log-format", "json", *flags]
    environment = {key: value for key, value in os.environ.items() if "KERASERVE" not in key}
    server = Server(
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    )
    try:
        yield server
    finally:
        server.kill()
