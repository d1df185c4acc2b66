"""Reads one file, within the limit that the service has for uploads."""

from __future__ import annotations

import os
import sys

from app.bulk.records import STDIN
from app.errors import UploadTooLargeError

_PIECE_BYTES = 1 << 16
"""A thumbnail is one piece; the buffer is cut to what came."""


def read_file(path: str, most_bytes: int) -> bytes:
    """Return the content of a file, a pipe or the standard input.

    Bare descriptors: a file object takes twice as long as the rest of reading a thumbnail.

    Raises:
        OSError: It cannot be read.
        UploadTooLargeError: It has more bytes than the limit; one more than that is read.
    """
    if path == STDIN:
        return _read(sys.stdin.fileno(), most_bytes)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def _read(descriptor: int, most_bytes: int) -> bytes:
    content = piece = os.read(descriptor, min(_PIECE_BYTES, most_bytes + 1))
    pieces = [piece]
    found = len(piece)
    while piece and found <= most_bytes:
        piece = os.read(descriptor, min(_PIECE_BYTES, most_bytes + 1 - found))
        pieces.append(piece)
        found += len(piece)
    if found > most_bytes:
        raise UploadTooLargeError(
            f"The file has at least {found:,} bytes; the limit is {most_bytes:,} "
            "(KERASERVE_MAX_UPLOAD_BYTES)."
        )
    return content if len(pieces) == 2 else b"".join(pieces)
