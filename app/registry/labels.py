"""``labels.json``: names of versions, beside the folders of the models.

    {"cifar10": {"stable": 2, "canary": 3}}

People and commands write it, the manager reads it. It is replaced as a whole by one rename: whoever
reads it finds all of the old content or all of the new.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from app.artifacts.manifest import NAME_PATTERN
from app.errors import ArtifactError

LABELS_FILE = "labels.json"

LABEL_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
"""Begins with a letter, so that no label looks like a version."""

Labels = Mapping[str, Mapping[str, int]]
"""Version numbers by label, by model."""

_CONTENT: TypeAdapter[dict[str, dict[str, int]]] = TypeAdapter(
    dict[
        Annotated[str, StringConstraints(pattern=NAME_PATTERN)],
        dict[Annotated[str, StringConstraints(pattern=LABEL_PATTERN)], Annotated[int, Field(ge=1)]],
    ]
)


def read_labels(root: Path) -> dict[str, dict[str, int]]:
    """Read the labels of a store; without the file there are none.

    Raises:
        ArtifactError: It cannot be read, or is something else.
    """
    path = root / LABELS_FILE
    try:
        return _CONTENT.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ArtifactError(f"{path}: {where}: {first['msg']}") from error


def set_label(root: Path, name: str, label: str, version: int | None) -> None:
    """Point a label of a model at a version, or take it away.

    Several processes may do so at once: each reads what the one before has written.

    Args:
        root: The store.
        name: The model.
        label: What to call the version.
        version: The version; None takes the label away.

    Raises:
        ArtifactError: The label is no name, or the file cannot be read or written.
    """
    if not re.fullmatch(LABEL_PATTERN, label):
        raise ArtifactError(f"{label!r} cannot be a label, it must match {LABEL_PATTERN}")
    with _locked(root):
        labels = read_labels(root)
        of_model = labels.setdefault(name, {})
        if version is None:
            of_model.pop(label, None)
        else:
            of_model[label] = version
        write_labels(root, {name: found for name, found in labels.items() if found})


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    path = root / f".{LABELS_FILE}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when the process dies
        except OSError as error:  # some network file systems have no locks
            raise ArtifactError(f"{path} cannot be locked: {error.strerror}") from error
        yield


def write_labels(root: Path, labels: Labels) -> None:
    """Replace the labels of a store, or leave the old ones as they are.

    Raises:
        ArtifactError: There is no room, no permission, or no store; nothing has changed then.
    """
    path = root / LABELS_FILE
    part = root / f".{LABELS_FILE}-{secrets.token_hex(4)}"
    content = {name: dict(sorted(of_model.items())) for name, of_model in sorted(labels.items())}
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
    _sync_folder(root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot: the file is there
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
