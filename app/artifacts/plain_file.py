"""Reads a small file of a version folder: no link, no pipe, and no more than it may have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from app.errors import ArtifactError


def read_plain_file(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a regular file.

    A link could show what lies outside of the store, a named pipe would keep us waiting for ever,
    and a file without end would take all memory.

    Args:
        path: The file itself; the folders above it may be links.
        limit_bytes: Most that it may have.

    Raises:
        ArtifactError: It is no regular file, or larger.
        OSError: It is missing or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_plain(path) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_plain(path)
        content = b"" if status.st_size > limit_bytes else file.read(limit_bytes + 1)
        size_bytes = max(status.st_size, len(content))  # it may grow while it is read
    if size_bytes > limit_bytes:
        raise ArtifactError(f"{path.name} has {size_bytes:,} bytes, the limit is {limit_bytes:,}")
    return content


def _not_plain(path: Path) -> ArtifactError:
    return ArtifactError(f"{path.name} is no regular file (links are refused)")
