"""Puts a new version into the store: complete, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from app.artifacts.checksums import folder_records
from app.artifacts.layout import MANIFEST, SAMPLES
from app.artifacts.manifest import NAME_PATTERN, Manifest, read_manifest
from app.errors import ArtifactError

Fill = Callable[[Path, int], Manifest]
"""Writes the files of the version into the folder; returns its manifest, with no ``files`` yet."""

LAST_VERSION = ".last-version"
"""Beside the versions of a model: the highest number that was ever given out."""

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def publish_version(
    store_dir: Path, name: str, fill: Fill, *, check: Callable[[Path], None] | None = None
) -> Path:
    """Publish a new version of ``name`` and return its folder, ``store_dir/name/<version>``.

    Number: claimed before ``fill`` runs, one above the highest that was ever given out or lies in
        the folder. It is never given again: not after a failed fill, not after the version was
        deleted, for a server, a dashboard or a cache may still know the old content by it. So
        numbers ascend, and may have gaps.
    Crash: ``fill`` works in a hidden staging folder, which the store ignores. It gets its number
        by one rename after everything in it is on disk, so that a crash or a power cut leaves
        nothing visible or a complete version. An exception removes the staging folder; a killed
        process leaves ``.staging-*`` behind, which may be deleted while nobody publishes.
    Concurrency: publishers, in threads or processes, get different numbers and do not wait for
        each other's ``fill``. Where somebody copies a folder of the same number in meanwhile, that
        folder stays and ``fill`` runs once more, in an empty folder with the next number.

    Args:
        store_dir: Root of the store (KERASERVE_MODEL_DIR); made if it is missing.
        name: Name of the model.
        fill: Writes at least the network (``model.keras``) and ``samples.npz``. The manifest that
            it returns names this model and the version it was given.
        check: Looks at the complete folder, manifest included, while it still has its hidden
            name; what it raises keeps the version from appearing.

    Raises:
        ArtifactError: The name cannot be one of a model, or the filled folder is no version.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ArtifactError(f"{name!r} cannot name a model, it must match {NAME_PATTERN}")
    model_dir = store_dir / name
    model_dir.mkdir(parents=True, exist_ok=True)
    while True:  # ends: each turn has a higher number than everything that lay there before
        version = _claim_version(model_dir)
        staging = model_dir / f".staging-{version}-{secrets.token_hex(4)}"
        staging.mkdir()
        try:
            _complete(staging, fill(staging, version), name, version)
            if check is not None:
                check(staging)
            if _appear(staging, model_dir / str(version)):
                return model_dir / str(version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # has another name already if it appeared


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``folder/manifest.json``."""
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _claim_version(model_dir: Path) -> int:
    """Take the next number; the lock is held for as long as it takes to read and write it."""
    descriptor = os.open(model_dir / LAST_VERSION, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when the process dies
        text = file.read(32).strip()
        if text and not text.isdigit():
            raise ArtifactError(
                f"{LAST_VERSION} of {model_dir.name} holds {text!r}, must hold the highest "
                "version number ever given out"
            )
        present = [int(path.name) for path in model_dir.iterdir() if _is_number(path.name)]
        version = max([int(text or b"0"), *present]) + 1
        file.seek(0)
        file.write(b"%d\n" % version)  # never shorter than before: nothing to cut off
        file.flush()
        os.fsync(file.fileno())
    return version


def _is_number(name: str) -> bool:
    return re.fullmatch(r"[0-9]{1,18}", name) is not None


def _complete(staging: Path, manifest: Manifest, name: str, version: int) -> None:
    """Add the manifest with the records of all files."""
    if (manifest.name, manifest.version) != (name, version) or manifest.files:
        raise ArtifactError(
            f"the manifest to publish is of {manifest.name}:{manifest.version} with "
            f"{len(manifest.files)} files, must be of {name}:{version} with none"
        )
    records = folder_records(staging)
    for required in (manifest.network_file, SAMPLES):
        if required not in records:
            raise ArtifactError(f"{required!r} was not written")
    write_manifest(staging, manifest.model_copy(update={"files": records}))
    # JSON has no NaN, and model_copy validates nothing: what cannot be read back is no version.
    read_manifest(staging)


def _appear(staging: Path, final: Path) -> bool:
    """Rename to the final number; False where something of that number has come meanwhile."""
    _sync_tree(staging)
    try:
        # POSIX lets a folder replace an empty one, which is nobody's version; all else is kept.
        staging.rename(final)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    for folder in (final.parent, final.parent.parent):
        _sync(folder)
    return True


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() or path.is_dir():  # a dot file may be anything, and opening may block
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
