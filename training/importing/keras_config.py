"""The description of the layers in legacy ``.h5`` files: read, written, and brought up to date.

``app.artifacts.keras_file`` looks for code in it; Keras' own safe mode does not look everywhere in
such files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py

from app.artifacts.keras_file import objects, parse_config
from app.errors import ArtifactError

_UNGROUPED = {
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "Conv2DTranspose",
}


def read_h5_config(path: Path) -> Any:
    """Return the description of the layers in an ``.h5`` file.

    Raises:
        ArtifactError: Damaged, or weights alone.
    """
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except (OSError, KeyError, RuntimeError) as error:
        raise ArtifactError(f"{path.name} is no readable .h5 file: {error}") from error
    if text is None:
        raise ArtifactError(
            f"{path.name} holds weights only, no description of the layers: save the whole model "
            "with model.save(), not save_weights()"
        )
    return parse_config(text, path.name)


def write_h5_config(path: Path, config: Any) -> None:
    """Replace the description of the layers in an ``.h5`` file."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)


def modernise(config: Any) -> bool:
    """Write in the words of Keras 3 what Keras 2 wrote otherwise, in place.

    Keras 3 refuses ``groups`` on convolutions that work channel by channel, though 1 is the only
    value it could have, and takes the axis of a normalisation as a number only. Every MobileNet
    that was saved by Keras 2 has both. To be dropped when Keras reads such files itself.

    Returns:
        Whether there was anything to do.
    """
    changed = False
    for node in objects(config):
        settings = node.get("config")
        if not isinstance(settings, dict):
            continue
        if node["class_name"] in _UNGROUPED and settings.get("groups") == 1:
            del settings["groups"]
            changed = True
        axis = settings.get("axis")
        if node["class_name"] == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
            settings["axis"] = axis[0]
            changed = True
    return changed
