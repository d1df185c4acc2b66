"""Folders that a command is going to write to, after work that should not be for nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path


def require_writable(folder: Path) -> None:
    """Make a folder if needed, and try to write there.

    Raises:
        OSError: It cannot be made, or takes no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"room")
