"""Loads a version from a copy that nobody else can write, made while its checksums are compared."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from app.artifacts.layout import REPORT
from app.artifacts.manifest import FileRecord, Manifest
from app.errors import ArtifactError
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import LoadServable
from app.types import Servable

_CHUNK_BYTES = 1024 * 1024


def from_private_copy(load: LoadServable) -> LoadServable:
    """Return what loads as ``load`` does, but never a byte that the manifest does not vouch for.

    Between the comparison of a file and its loading, whoever can write into the store could put
    another one in its place. Where signatures are asked for, that is not for them to decide. The
    copy is gone when the network is loaded: what an engine has mapped stays readable.
    """

    def load_copy(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
        with private_copy(folder, manifest) as copy:
            return load(copy, manifest, policy)

    return load_copy


@contextmanager
def private_copy(folder: Path, manifest: Manifest) -> Iterator[Path]:
    """Copy the files of a version, but its report, into a folder of this process's user alone.

    Raises:
        ArtifactError: A file is not what the manifest says, or there is no room for the copy.
    """
    with ExitStack() as undo:
        try:
            place = undo.enter_context(tempfile.TemporaryDirectory(prefix="keraserve-"))
            copy = Path(place)
            for path, record in manifest.files.items():
                if not path.startswith(f"{REPORT}/"):
                    _copy(folder / path, copy / path, path, record)
        except OSError as error:
            raise ArtifactError(
                f"with KERASERVE_TRUSTED_KEYS, versions are loaded from a private copy in "
                f"{tempfile.gettempdir()!r} (TMPDIR), which cannot be made: {error.strerror}"
            ) from error
        yield copy


def _copy(source: Path, target: Path, path: str, record: FileRecord) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file, target.open("xb") as copy:
        if _hash_into(file, copy, record.size_bytes) != record.sha256:
            raise ArtifactError(f"{path!r} was altered after its checksum had been compared")


def _hash_into(file: IO[bytes], copy: IO[bytes], size_bytes: int) -> str:
    """Copy no more than should be there, and one byte; return the SHA-256."""
    digest, left = hashlib.sha256(), size_bytes + 1
    while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        copy.write(chunk)
        left -= len(chunk)
    return digest.hexdigest()
