"""Reads ``.keras`` files, whatever Keras computes with."""

from __future__ import annotations

from pathlib import Path

import keras

from app.artifacts.keras_file import check_keras_file
from app.errors import ArtifactError


def load_model(path: Path) -> keras.Model:
    """Look into a ``.keras`` file, and read it in safe mode: nothing in it is executed.

    Raises:
        ArtifactError: It is no Keras 3 model, or holds code such as a Lambda layer.
    """
    check_keras_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ArtifactError(f"{path.name} cannot be loaded: {error}") from error
