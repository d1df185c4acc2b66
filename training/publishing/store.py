"""What is in the store of published versions, and how a version leaves it."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import NAME_PATTERN, read_manifest
from app.artifacts.publish import LAST_VERSION
from app.errors import ArtifactError

VERSION_PATTERN = r"[1-9][0-9]{0,17}"
"""As ``str(int)`` writes it; the service ignores folders of other names."""


def model_versions(models_dir: Path) -> dict[str, list[int]]:
    """Return the version numbers of every model, ascending; models by name.

    Their folders are not looked into: a version may be damaged.
    """
    found = {}
    for model_dir in sorted(_folders(models_dir)):
        if not re.fullmatch(NAME_PATTERN, model_dir.name):
            continue
        names = (path.name for path in _folders(model_dir))
        versions = sorted(int(name) for name in names if re.fullmatch(VERSION_PATTERN, name))
        if versions:
            found[model_dir.name] = versions
    return found


def is_good(folder: Path) -> bool:
    """Return whether a version can be served: manifest valid, gate passed, every file right."""
    try:
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
    except ArtifactError:
        return False
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        return False
    return manifest.gate.passed or manifest.gate.forced


def remove_version(folder: Path, *, force: bool = False) -> None:
    """Remove a version at one blow; its number is never given out again.

    It loses its number by one rename, so that nobody finds half of it. A process that is killed
    after that leaves ``.removed-*`` behind, which may be deleted.

    Args:
        folder: ``<store>/<name>/<version>``.
        force: Remove the last good version of the model too.

    Raises:
        ArtifactError: It is that one, or the folder cannot be one of a version.
    """
    model_dir, version = folder.parent, folder.name
    if not folder.is_dir() or not re.fullmatch(VERSION_PATTERN, version):
        raise ArtifactError(f"{folder} is no version in a store, <model>/<number>")
    hidden = model_dir / f".removed-{version}-{secrets.token_hex(4)}"
    # Locked to the end of the decision: of two who remove the last two good ones, one is refused.
    with _raised_number(model_dir, int(version)):
        if not force and is_good(folder) and not _has_other_good_version(folder):
            raise ArtifactError(
                f"{model_dir.name}:{version} is the last good version of {model_dir.name}; "
                "--force removes it all the same"
            )
        try:
            folder.rename(hidden)
        except FileNotFoundError:
            raise ArtifactError(f"{folder} has just been removed by somebody else") from None
    shutil.rmtree(hidden)


def _has_other_good_version(folder: Path) -> bool:
    others = (path for path in _folders(folder.parent) if path != folder)
    return any(re.fullmatch(VERSION_PATTERN, path.name) and is_good(path) for path in others)


@contextmanager
def _raised_number(model_dir: Path, version: int) -> Iterator[None]:
    """Hold the lock that publishers take a number under; ``version`` counts as given out."""
    descriptor = os.open(model_dir / LAST_VERSION, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when the process dies
        text = file.read(32).strip()
        if text and not text.isdigit():
            raise ArtifactError(
                f"{LAST_VERSION} of {model_dir.name} holds {text!r}, must hold the highest "
                "version number ever given out"
            )
        if int(text or b"0") < version:
            file.seek(0)
            file.write(b"%d\n" % version)  # never shorter than before: nothing to cut off
            file.flush()
            os.fsync(file.fileno())
        yield


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ArtifactError(f"{parent} cannot be listed: {error.strerror}") from error
