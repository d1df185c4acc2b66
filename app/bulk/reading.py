"""Reads one file, within the limit that the service has for uploads."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import BinaryIO

from app.bulk.records import STDIN
from app.errors import UploadTooLargeError


def read_file(path: str, most_bytes: int) -> bytes:
    """Return the content of a file, or of the standard input.

    Raises:
        OSError: It cannot be read.
        UploadTooLargeError: It has more bytes than the limit; no more than that are read.
    """
    if path == STDIN:
        return _at_most(sys.stdin.buffer, most_bytes)
    # The bare file: a Path and a buffer take as long again as reading a thumbnail.
    with io.FileIO(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # a pipe has no size
            return _at_most(file, most_bytes)
        if status.st_size > most_bytes:
            raise UploadTooLargeError(_describe(status.st_size, most_bytes))
        return file.readall()


def _at_most(file: BinaryIO | io.FileIO, most_bytes: int) -> bytes:
    content = bytearray()
    while piece := file.read(1 << 16):
        content += piece
        if len(content) > most_bytes:
            raise UploadTooLargeError(_describe(len(content), most_bytes))
    return bytes(content)


def _describe(found: int, most: int) -> str:
    limit = f"the limit is {most:,} (KERASERVE_MAX_UPLOAD_BYTES)"
    return f"The file has at least {found:,} bytes; {limit}."
