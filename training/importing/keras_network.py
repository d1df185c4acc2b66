"""A Keras file with preprocessing and softmax as layers around it."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from pathlib import Path

import keras
from keras import layers

from app.artifacts.keras_file import check_config, check_keras_file
from app.artifacts.weights_file import check_weights
from app.errors import ArtifactError
from app.types import InputSpec
from training.importing.keras_config import modernise, read_h5_config, write_h5_config
from training.importing.options import ImportOptions, input_spec

INNER = "network"
"""Name of the layer that holds what was imported."""

MAX_REASON_CHARACTERS = 300

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def load_keras_file(path: Path) -> keras.Model:
    """Look into a ``.keras`` file and load it.

    Raises:
        ArtifactError: Damaged, of another Keras, or with code in it.
    """
    check_keras_file(path)
    return _load(path)


def load_h5_file(path: Path) -> keras.Model:
    """Look into an ``.h5`` file of Keras 2 or 3, and load it.

    Raises:
        ArtifactError: Damaged, or with code in it.
    """
    config = read_h5_config(path)
    check_config(config, path.name)
    try:
        check_weights(path, path.stat().st_size)
    except ArtifactError as error:
        raise ArtifactError(f"{path.name} is refused: {error}") from error
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # h5py of what is damaged
        raise ArtifactError(f"{path.name} is no readable .h5 file: {error}") from error
    if not modernise(config):
        return _load(path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        write_h5_config(copy, config)
        return _load(copy)


def _load(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file raises whatever the reader at work raises
        raise ArtifactError(f"{path.name} cannot be loaded: {_reason(error)}") from error


def network_spec(network: keras.Model, options: ImportOptions) -> InputSpec:
    """Return what uploads are brought to, for a network of one image in and one vector out.

    Raises:
        ArtifactError: It has other inputs or outputs.
    """
    inputs, outputs = _ends(network)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(
            f"the network has {len(inputs)} inputs and {len(outputs)} outputs; one image in and "
            "one vector of scores out is what can be served"
        )
    batch, *shape = inputs[0].shape
    if batch is not None:
        raise ArtifactError(
            f"the network takes batches of {batch} only; save it with an open batch size "
            "(keras.Input without batch_size)"
        )
    if len(outputs[0].shape) != 2 or outputs[0].shape[1] is None:
        raise ArtifactError(f"the network gives {outputs[0].shape}, must be (batch, classes)")
    return input_spec(tuple(shape), options)


def number_of_classes(network: keras.Model) -> int:
    """Return K of a network that ``network_spec`` has looked at."""
    return int(network.outputs[0].shape[1])


def wrap(network: keras.Model, spec: InputSpec, options: ImportOptions) -> keras.Model:
    """Put preprocessing and softmax around a network: uint8 pixels in, probabilities out.

    Raises:
        ArtifactError: The options do not fit the network.
    """
    image = keras.Input(spec.shape, dtype="uint8", name="image")  # (N, H, W, C) uint8, 0..255
    x = _preprocess(image, network.inputs[0].dtype, spec, options)
    if len(network.inputs[0].shape) == 3:
        x = layers.Reshape((spec.height, spec.width), name="without_channel")(x)  # (N, H, W)
    # A model over the same layers: its name is free of those around it.
    inner = keras.Model(network.inputs[0], network.outputs[0], name=INNER)
    # float32 whatever the network computes in: a softmax in bfloat16 does not sum to 1.
    scores = layers.Activation(
        "softmax" if options.logits else "linear", dtype="float32", name="scores"
    )(inner(x, training=False))
    return keras.Model(image, scores, name=network.name)


def _ends(network: keras.Model) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
    try:
        return list(network.inputs), list(network.outputs)
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(
            "the network has no input of its own: call it with an image before saving it, or "
            "begin it with keras.Input"
        ) from error


def _reason(error: Exception) -> str:
    """Return what Keras means: it writes the whole layer first, which can take a page."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    return textwrap.shorten(text, MAX_REASON_CHARACTERS) or type(error).__name__


def _preprocess(
    image: keras.KerasTensor, dtype: str, spec: InputSpec, options: ImportOptions
) -> keras.KerasTensor:
    if dtype == "uint8":
        if not options.is_plain:
            raise ArtifactError(
                "the network takes uint8 and does its own preprocessing; leave --scale, --offset, "
                "--mean and --std out"
            )
        return image
    if dtype not in _FLOATS:
        raise ArtifactError(f"the network takes {dtype}, must be floating point or uint8")
    # Also where it changes nothing: it makes floats of the pixels.
    x = layers.Rescaling(options.scale, options.offset, dtype="float32", name="rescaling")(image)
    if options.has_statistics:
        x = layers.Normalization(
            mean=options.mean_of(spec.channels),
            variance=[std**2 for std in options.std_of(spec.channels)],
            dtype="float32",
            name="normalization",
        )(x)
    return x
