"""Looks into ``.keras`` files for code, before Keras opens them.

A Keras file describes its layers in JSON, and a few kinds of layers carry code in there. The
description is read as text here, and every object in it must be a layer, or a part of layers, of
Keras itself. Keras' own safe mode stands behind that: it was found wanting more than once. Training
looks before it imports, the service before it loads.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.artifacts.archive import check_members, open_archive
from app.artifacts.limits import MAX_DESCRIPTION_BYTES, MAX_FILE_BYTES
from app.artifacts.weights_file import check_weights
from app.errors import ArtifactError

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

_MEMBERS: Final = {
    _CONFIG: MAX_DESCRIPTION_BYTES,
    _METADATA: MAX_DESCRIPTION_BYTES,
    _WEIGHTS: MAX_FILE_BYTES,
}
"""All that a network of images has. ``assets/`` would be unpacked to disk: vocabularies of text."""

_LAMBDAS = {"Lambda", "__lambda__"}
_FOREIGN = {"TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
_TENSORFLOW_CALLS = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"}

_MODULES = {
    "activations", "constraints", "dtype_policies", "engine", "initializers", "layers", "losses",
    "metrics", "mixed_precision", "models", "ops", "optimizers", "quantizers", "random",
    "regularizers",
}  # fmt: skip
"""Of Keras, with what layers are made of. Others download, unpack and open files, or turn off the
safe mode: ``utils``, ``saving``, ``config``, ``datasets``, …"""
_ROOTS = {"src", "api", "_tf_keras"}  # where the same modules are found once more


def check_keras_file(path: Path) -> None:
    """Refuse a ``.keras`` file that is damaged, too large, or holds more than layers of Keras.

    Raises:
        ArtifactError: Says what it holds, why that is refused, and what to do.
    """
    try:
        with open_archive(path) as archive:
            if missing := {_CONFIG, _WEIGHTS} - set(archive.namelist()):
                raise ArtifactError(
                    f"{path.name} is no Keras 3 file: it lacks {', '.join(sorted(missing))}"
                )
            with _named(path):
                check_members(archive, _MEMBERS)
            check_config(parse_config(archive.read(_CONFIG), path.name), path.name)
            with _named(path):
                _check_weights(archive)
    except ArtifactError:
        raise
    # h5py raises what it likes for what is damaged.
    except (
        OSError, EOFError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise ArtifactError(f"{path.name} is no readable .keras file: {error}") from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path.name} is refused: {error}") from error


def _check_weights(archive: zipfile.ZipFile) -> None:
    member = archive.getinfo(_WEIGHTS)
    with archive.open(member) as packed:
        if member.compress_type == zipfile.ZIP_STORED:
            check_weights(packed, member.file_size)
            return
        # Going back in what is compressed begins anew each time.
        with tempfile.TemporaryFile() as plain:
            shutil.copyfileobj(packed, plain)
            check_weights(plain, member.file_size)


def check_config(config: Any, place: str) -> None:
    """Look at every object in a description of layers, at any depth.

    Args:
        config: Parsed JSON.
        place: Name of the file, for the error.

    Raises:
        ArtifactError: One of them is, holds or needs code that Keras does not have.
    """
    for node in objects(config):
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
    place = str(node["class_name"]).split(".")[:-1]
    if module not in (None, "builtins"):
        place = [*str(module).split("."), *place]
    if place and place[0] == "keras" and not _is_part_of_layers(place[1:]):
        return (
            f"{name} of {'.'.join(place)} is no layer and no part of one, and would be called when "
            "the network is loaded"
        )
    is_keras = module in (None, "builtins") or place[0] == "keras"
    if not is_keras or (isinstance(registered, str) and ">" in registered):
        return (
            f"{name} ({registered or module}) is a class of your own: the server would need your "
            "code. Build the network from layers of Keras, or export it as a SavedModel with "
            "model.export()"
        )
    return None


def _is_part_of_layers(place: list[str]) -> bool:
    """Whether names below ``keras`` lead to layers and what they are made of."""
    if place and place[0] in _ROOTS:
        place = place[1:]
    return not place or place[0] in _MODULES


def _layer_name(node: dict[str, Any]) -> str:
    config = node.get("config")
    return str(config.get("name", node.get("name", ""))) if isinstance(config, dict) else ""


def objects(config: Any) -> Iterator[dict[str, Any]]:
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


def parse_config(text: bytes | str, place: str) -> Any:
    """Return the description of layers in a file called ``place``.

    Raises:
        ArtifactError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{place}: the description of its layers is no JSON: {error}"
        ) from error
