"""The files beside the models: read and written within the store alone."""

from __future__ import annotations

from pathlib import Path

from app.errors import ArtifactError


def within_store(root: Path, name: str) -> Path:
    """Return where a file beside the models stands.

    It may be a link, as tools that mount configuration make them, but not out of the store:
    whoever could lay such a link would have servers replace any file that they may write.

    Args:
        root: The store, which may be a link itself.
        name: Of the file.

    Raises:
        ArtifactError: It leads elsewhere.
    """
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise ArtifactError(f"{path} is a link that leads out of the store (KERASERVE_MODEL_DIR)")
    return path
