"""SHA-256 of files, and the comparison of a version folder with its manifest.

A version never changes after it was published, so a file that the manifest does not list is as
wrong as one that is missing. The exception are names that begin with a dot, at any depth: systems
drop such files into folders by themselves (``.DS_Store``, ``.nfs0000…``), they carry no content of
a version and are never looked at. Nor is ``signatures.json`` listed, which is about the manifest.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from app.artifacts.layout import MANIFEST, OPENVINO_MODEL, SIGNATURES
from app.artifacts.limits import (
    MAX_DESCRIPTION_BYTES,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
)
from app.artifacts.manifest import FileRecord, Manifest
from app.errors import ArtifactError


def file_record(path: Path) -> FileRecord:
    """Read a file once and return its SHA-256 and size."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(sha256=digest.hexdigest(), size_bytes=file.tell())


def folder_records(folder: Path) -> dict[str, FileRecord]:
    """Return the record of every file below ``folder`` but its manifest and signatures.

    Returns:
        Records by path inside the folder, with forward slashes, sorted. Dot files are left out.

    Raises:
        ArtifactError: Something in the folder is neither a file nor a folder, e.g. a link.
    """
    return {path: file_record(file) for path, file in _content(folder).items()}


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest: the set of names first, then sizes, then SHA-256.

    Reads every byte of the version; callers on an event loop use a thread.

    Raises:
        ArtifactError: A file is missing, unlisted, altered or unreadable; the text names the file
            and what differs.
    """
    try:
        _check_sizes(manifest)
        content = _content(folder)
        _compare_names(content, manifest)
        _compare_sizes(content, manifest)
        _compare_hashes(content, manifest)
    except OSError as error:
        name = Path(error.filename or folder).name
        raise ArtifactError(f"{name!r} cannot be read: {error.strerror}") from error


def _check_sizes(manifest: Manifest) -> None:
    """Refuse what would take hours to hash, or the memory of the host to parse."""
    sizes = {name: record.size_bytes for name, record in manifest.files.items()}
    if len(sizes) > MAX_FILES:
        raise ArtifactError(f"{MANIFEST} lists {len(sizes):,} files, the limit is {MAX_FILES:,}")
    for name, size in sizes.items():
        limit = MAX_DESCRIPTION_BYTES if name == OPENVINO_MODEL else MAX_FILE_BYTES
        if size > limit:
            raise ArtifactError(f"{name!r} has {size:,} bytes, the limit is {limit:,}")
    if (total := sum(sizes.values())) > MAX_TOTAL_BYTES:
        raise ArtifactError(f"the files have {total:,} bytes, the limit is {MAX_TOTAL_BYTES:,}")


def _content(folder: Path) -> dict[str, Path]:
    content: dict[str, Path] = {}
    pending = [folder]
    while pending:
        for path in pending.pop().iterdir():
            if path.name.startswith("."):
                continue
            relative = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                pending.append(path)
            elif not stat.S_ISREG(mode):
                # What a link points to can change without the version changing, and opening a
                # named pipe would wait for ever.
                raise ArtifactError(f"{relative!r} is no regular file (links are refused)")
            elif relative not in (MANIFEST, SIGNATURES):
                content[relative] = path
            if len(content) + len(pending) > MAX_FILES:
                raise ArtifactError(f"it holds more than {MAX_FILES:,} files and folders")
    return dict(sorted(content.items()))


def _compare_names(content: dict[str, Path], manifest: Manifest) -> None:
    if missing := sorted(manifest.files.keys() - content.keys()):
        raise ArtifactError(f"{missing[0]!r} is missing{_and_more(missing)}")
    if unlisted := sorted(content.keys() - manifest.files.keys()):
        raise ArtifactError(f"{unlisted[0]!r} is not in {MANIFEST}{_and_more(unlisted)}")


def _and_more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _compare_sizes(content: dict[str, Path], manifest: Manifest) -> None:
    # Before hashing: a half-copied model of gigabytes is found in microseconds.
    for name, path in content.items():
        actual, expected = path.lstat().st_size, manifest.files[name].size_bytes
        if actual != expected:
            raise ArtifactError(f"{name!r} has {actual} bytes, {MANIFEST} says {expected}")


def _compare_hashes(content: dict[str, Path], manifest: Manifest) -> None:
    for name, path in content.items():
        actual, expected = file_record(path).sha256, manifest.files[name].sha256
        if actual != expected:
            raise ArtifactError(f"{name!r} has SHA-256 {actual}, {MANIFEST} says {expected}")
