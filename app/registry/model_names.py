"""What can name a model."""

from __future__ import annotations

import re

from app.artifacts.manifest import NAME_PATTERN
from app.errors import ArtifactError


def is_model_name(name: str) -> bool:
    """Tell whether a folder of this name can be a model."""
    return re.fullmatch(NAME_PATTERN, name) is not None


def require_model_name(name: str) -> None:
    """Keep names that can be none out of files which others must be able to read.

    Raises:
        ArtifactError: It can be none.
    """
    if not is_model_name(name):
        raise ArtifactError(f"{name!r} cannot name a model, it must match {NAME_PATTERN}")
