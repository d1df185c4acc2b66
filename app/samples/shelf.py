"""Reads files of samples once, and again when they change."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.array_file import MAX_BYTES
from app.artifacts.labelled_samples import LabelledSamples
from app.errors import ArtifactError

logger = logging.getLogger(__name__)

Read = Callable[[Path], LabelledSamples | None]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a file held, or why it could not be read.

    Attributes:
        path: Of the file.
        sha256: Of its content, where that is known beforehand.
        look: How it looked.
        content: None where it has no labelled samples, or could not be read.
        fault: Why it could not.
    """

    path: Path
    sha256: str | None
    look: Hashable
    content: LabelledSamples | None
    fault: str | None

    @property
    def size_bytes(self) -> int:
        return 0 if self.content is None else self.content.size_bytes


class SampleShelf:
    """Keeps the samples that were asked for last, in the place of reading them for each request.

    Thread: used in one thread at a time; a call may read from a disk.
    Change: each call looks at the file's size, time and identity, and reads what has changed anew;
        those who hold the old content keep it. Content that is known by its hash cannot change,
        and is not looked for again.
    Fault: a file that cannot be read is logged once, and not tried again before it changes.
    Bound: ``most_bytes`` for all of it; what was asked for longest ago goes first. While a file is
        read, what it held before is still in memory.
    """

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        """Begin empty.

        Args:
            most_bytes: Of images and labels; the default is what the largest file may have. What
                was asked for last is kept in any case.
        """
        self._most_bytes = most_bytes
        self._kept: dict[Hashable, _Kept] = {}  # what was asked for last comes last

    @property
    def size_bytes(self) -> int:
        """Bytes of images and labels that are kept."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def take(
        self, place: Hashable, path: Path, read: Read, *, sha256: str | None = None
    ) -> LabelledSamples | None:
        """Return what a file holds.

        Args:
            place: What the content is kept under; what was kept there before goes.
            path: The file.
            read: Reads it; None says that it holds no labelled samples.
            sha256: Of its content, which ``read`` compares; None where it may become another.

        Raises:
            FileNotFoundError: There is no such file.
            ArtifactError: It cannot be used.
        """
        kept = self._kept.pop(place, None)
        if kept is None or not _is_known(kept, sha256):
            look = _look(path)
            if kept is None or (kept.path, kept.sha256, kept.look) != (path, sha256, look):
                kept = _Kept(path, sha256, look, *_read(path, read))
        self._kept[place] = kept
        self._make_room()
        if kept.fault is not None:
            raise ArtifactError(kept.fault)
        return kept.content

    def _make_room(self) -> None:
        while self.size_bytes > self._most_bytes and len(self._kept) > 1:
            del self._kept[next(iter(self._kept))]


def _is_known(kept: _Kept, sha256: str | None) -> bool:
    return sha256 is not None and kept.sha256 == sha256 and kept.fault is None


def _look(path: Path) -> Hashable:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise ArtifactError(f"{path.name} is no regular file")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path, read: Read) -> tuple[LabelledSamples | None, str | None]:
    """Return what the file holds, and why it cannot be read; one of them is None."""
    try:
        content = read(path)
    except ArtifactError as error:
        fault = str(error)
    except OSError as error:
        fault = f"{path.name} cannot be read: {error.strerror}"
    else:
        if content is not None:
            fields = {"file": str(path), "samples": len(content), "bytes": content.size_bytes}
            logger.info("samples read", extra=fields)
        return content, None
    logger.error("samples not read", extra={"file": str(path), "reason": fault})
    return None, fault
