"""Looks at the folder of a SavedModel from outside, before a file of it is read."""

from __future__ import annotations

import stat
from pathlib import Path

from app.artifacts.limits import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES
from app.errors import ArtifactError


def check_source_folder(folder: Path) -> None:
    """Refuse a folder that is too large, or leads out of itself.

    What is published may be served to anybody: a link to a file of whoever imports must not get
    into it. Named pipes would wait for ever, and device files have no end.

    Raises:
        ArtifactError: Names the file, and what is wrong with it.
    """
    root = folder.resolve()
    entries = total_bytes = 0
    pending = [folder]
    while pending:
        for path in pending.pop().iterdir():
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ArtifactError(
                    f"{folder.name}/{name} is a link that leads out of the folder; import a copy "
                    "without links (cp -rL)"
                )
            status = path.stat()
            entries += 1
            total_bytes += _size_of(f"{folder.name}/{name}", status.st_mode, status.st_size)
            if entries > MAX_FILES:
                raise ArtifactError(f"{folder.name} holds more than {MAX_FILES:,} files")
            if total_bytes > MAX_TOTAL_BYTES:
                raise ArtifactError(f"{folder.name} has more than {MAX_TOTAL_BYTES:,} bytes")
            if stat.S_ISDIR(status.st_mode) and not path.is_symlink():  # a circle has no end
                pending.append(path)


def _size_of(name: str, mode: int, size_bytes: int) -> int:
    if stat.S_ISDIR(mode):
        return 0
    if not stat.S_ISREG(mode):
        raise ArtifactError(f"{name} is neither a file nor a folder")
    if size_bytes > MAX_FILE_BYTES:
        raise ArtifactError(f"{name} has {size_bytes:,} bytes, the limit is {MAX_FILE_BYTES:,}")
    return size_bytes
