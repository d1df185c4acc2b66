"""The server as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.read_process import ReadProcess

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0  # beside another test and whatever else the machine does


class Server(ReadProcess):
    """The process, and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(process, PATIENCE_S)

    def wait_for(self, message: str, **fields: Any) -> dict[str, Any]:
        """Return the first line with this message and these fields, as soon as it is there."""

        def is_wanted(line: str) -> bool:
            if not line.startswith("{"):
                return False
            found = json.loads(line)
            return bool(found["message"] == message and fields.items() <= found.items())

        line = self.wait_for_line(is_wanted, f"{message!r} with {fields}")
        document: dict[str, Any] = json.loads(line)
        return document

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
