"""Looks into Keras files for code, before Keras opens them.

A Keras file describes its layers in JSON, and a few kinds of layers carry code in there. The
description is read as text here, and every object in it must be one that Keras itself has.
Keras' own safe mode stands behind that; it does not look into everything in legacy ``.h5`` files.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from app.errors import ArtifactError

MAX_CONFIG_BYTES = 64 * 1024**2
"""Of the description of the layers; that of a network of 1,000 layers has one megabyte."""

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"

_LAMBDAS = {"Lambda", "__lambda__"}
_FOREIGN = {"TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
_TENSORFLOW_CALLS = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"}

_UNGROUPED = {
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "Conv2DTranspose",
}


def check_keras_file(path: Path) -> None:
    """Refuse a ``.keras`` file that is damaged, or that holds more than layers of Keras.

    Raises:
        ArtifactError: Says what it holds, why that is refused, and what to do.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if missing := {_CONFIG, _WEIGHTS} - names:
                raise ArtifactError(
                    f"{path.name} is no Keras 3 file: it lacks {', '.join(sorted(missing))}"
                )
            if archive.getinfo(_CONFIG).file_size > MAX_CONFIG_BYTES:
                raise ArtifactError(f"{path.name}: {_CONFIG} is above {MAX_CONFIG_BYTES} bytes")
            text = archive.read(_CONFIG)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path.name} is no readable .keras file: {error}") from error
    check_config(_parse(text, path.name), path.name)


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
    return _parse(text, path.name)


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
    for node in _objects(config):
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


def check_config(config: Any, place: str) -> None:
    """Look at every object in a description of layers, at any depth.

    Args:
        config: Parsed JSON.
        place: Name of the file, for the error.

    Raises:
        ArtifactError: One of them is, holds or needs code that Keras does not have.
    """
    for node in _objects(config):
        reason = _objection(node)
        if reason is not None:
            raise ArtifactError(f"{place} is refused: {reason}")


def _objection(node: dict[str, Any]) -> str | None:
    # Keras joins module and class name: "layers.Lambda" of "keras" is a Lambda too.
    name, module = str(node["class_name"]).rpartition(".")[2], node.get("module")
    which = f"its layer {_layer_name(node)!r} is a {name}"
    if name in _LAMBDAS:
        return (
            f"{which}: it carries Python bytecode, which would run in the server. Replace it by "
            "layers of Keras (Rescaling, Normalization, Reshape, ...) and save the model again"
        )
    if name in _FOREIGN:
        return (
            f"{which}: it carries a program of another framework, which Keras would run "
            "unchecked. Export the network itself as a SavedModel, which is checked operation by "
            "operation"
        )
    if name in _TENSORFLOW_CALLS:
        return (
            f"{which}: a call of a TensorFlow function, which Keras 3 cannot load. Replace it by "
            "a layer of Keras, or export the model as a SavedModel with the version that made it"
        )
    registered = node.get("registered_name")
    is_keras = module in (None, "builtins", "keras") or str(module).startswith("keras.")
    if not is_keras or (isinstance(registered, str) and ">" in registered):
        return (
            f"{name} ({registered or module}) is a class of your own: the server would need your "
            "code. Build the network from layers of Keras, or export it as a SavedModel with "
            "model.export()"
        )
    return None


def _layer_name(node: dict[str, Any]) -> str:
    config = node.get("config")
    return str(config.get("name", node.get("name", ""))) if isinstance(config, dict) else ""


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield everything that Keras would look up by name. Not recursive: JSON nests at will."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _parse(text: bytes | str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{place}: the description of its layers is no JSON: {error}"
        ) from error
