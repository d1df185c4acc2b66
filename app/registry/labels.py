"""``labels.json``: names of versions, beside the folders of the models.

    {"cifar10": {"stable": 2, "canary": 3}}

People and commands write it, the manager reads it. It is replaced as a whole by one rename: whoever
reads it finds all of the old content or all of the new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter

from app.artifacts.manifest import NAME_PATTERN
from app.errors import ArtifactError
from app.json_file import JsonFile
from app.registry.model_names import require_model_name
from app.registry.rollout_plan import LATEST
from app.registry.store_files import within_store

LABELS_FILE = "labels.json"

LABEL_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
"""Begins with a letter, so that no label looks like a version."""

LABEL_RULE = f"it must match {LABEL_PATTERN}, and not be {LATEST}"

Labels = Mapping[str, Mapping[str, int]]
"""Version numbers by label, by model."""

_CONTENT: TypeAdapter[dict[str, dict[str, int]]] = TypeAdapter(
    dict[
        Annotated[str, StringConstraints(pattern=NAME_PATTERN)],
        dict[Annotated[str, StringConstraints(pattern=LABEL_PATTERN)], Annotated[int, Field(ge=1)]],
    ]
)


def is_label(text: str) -> bool:
    """Tell whether a text can be a label; ``latest`` is a target's word for the newest version."""
    return re.fullmatch(LABEL_PATTERN, text) is not None and text != LATEST


def read_labels(root: Path) -> dict[str, dict[str, int]]:
    """Read the labels of a store; without the file there are none.

    Raises:
        ArtifactError: It cannot be read, or is something else.
    """
    return _file(root).read() or {}


def set_label(root: Path, name: str, label: str, version: int | None) -> dict[str, int]:
    """Point a label of a model at a version, or take it away.

    Several processes may do so at once: each reads what the one before has written.

    Args:
        root: The store.
        name: The model.
        label: What to call the version.
        version: The version; None takes the label away.

    Returns:
        The labels of the model as they are now.

    Raises:
        ArtifactError: The model or the label is no name, or the file cannot be read or written;
            then nothing has changed.
    """
    require_model_name(name)
    if not is_label(label):
        raise ArtifactError(f"{label!r} cannot be a label: {LABEL_RULE}")
    with _file(root).locked():
        labels = read_labels(root)
        of_model = labels.setdefault(name, {})
        before = dict(of_model)
        if version is None:
            of_model.pop(label, None)
        else:
            of_model[label] = version
        if of_model != before:
            write_labels(root, {name: found for name, found in labels.items() if found})
    return of_model


def write_labels(root: Path, labels: Labels) -> None:
    """Replace the labels of a store, or leave the old ones as they are.

    Raises:
        ArtifactError: There is no room, no permission, or no store; nothing has changed then.
    """
    content = {name: dict(sorted(of_model.items())) for name, of_model in sorted(labels.items())}
    _file(root).write(content)


def _file(root: Path) -> JsonFile[dict[str, dict[str, int]]]:
    return JsonFile(within_store(root, LABELS_FILE), _CONTENT, ArtifactError)
