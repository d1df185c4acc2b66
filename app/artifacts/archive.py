"""Opens zip archives of others: their directory is bounded before it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.artifacts.limits import MAX_RATIO, RATIO_FROM_BYTES
from app.errors import ArtifactError

MAX_DIRECTORY_BYTES = 128 * 1024
"""Room for a thousand members, where ours have three. ``zipfile`` makes 500 bytes of objects of
each 50 in the directory: a file of 100 MB that is nothing else would take a gigabyte."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy and Keras write


class _BoundedFile(io.BufferedReader):
    """A file of which no more than ``most_bytes`` are given at a time, while that is set."""

    most_bytes: int | None = MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does; refuse to read more than the bound, whatever is asked for."""
        if self.most_bytes is not None:
            here = self.tell()
            left = self.seek(0, io.SEEK_END) - here
            self.seek(here)
            wanted = left if size is None or size < 0 else min(size, left)
            if wanted > self.most_bytes:
                raise ArtifactError(
                    f"its directory has {wanted:,} bytes, the limit is {self.most_bytes:,}"
                )
        return super().read(size)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose directory is of a reasonable size.

    Raises:
        ArtifactError: It is not.
        OSError: It cannot be read; ``zipfile`` raises more for one that is damaged.
    """
    with _BoundedFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        file.most_bytes = None
        yield archive


def check_members(archive: zipfile.ZipFile, limits: dict[str, int]) -> None:
    """Refuse an archive that holds anything unknown, or would unpack to too much.

    Args:
        archive: None of it is unpacked.
        limits: The members that it may have, by name, with the most bytes of each unpacked.

    Raises:
        ArtifactError: Names the member, what it claims, and the limit.
    """
    seen: set[str] = set()
    for member in archive.infolist():
        name, size = member.filename, member.file_size
        if name not in limits:
            raise ArtifactError(f"it holds {name!r}, may hold {', '.join(sorted(limits))} only")
        if name in seen:
            raise ArtifactError(f"it holds {name!r} twice")
        seen.add(name)
        if member.compress_type not in _COMPRESSIONS or member.flag_bits & 1:
            raise ArtifactError(
                f"{name!r} is encrypted, or compressed by another method than deflate"
            )
        if size > limits[name]:
            raise ArtifactError(
                f"{name!r} unpacks to {size:,} bytes, the limit is {limits[name]:,}"
            )
        if size > RATIO_FROM_BYTES and size > MAX_RATIO * member.compress_size:
            raise ArtifactError(
                f"{name!r} unpacks from {member.compress_size:,} to {size:,} bytes, the limit is "
                f"{MAX_RATIO} times as many"
            )
