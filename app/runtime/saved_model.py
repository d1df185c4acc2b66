"""Frozen graphs: networks that Keras cannot describe, as one SavedModel without variables.

Training makes them from SavedModels that were brought along (``training.importing``): weights are
constants, preprocessing and softmax are inside. Only the graph between the one input and the one
output is taken, and only if it is pure arithmetic; TensorFlow's own loader, which runs whatever the
file asks for, is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from app.artifacts.graph_operations import refuse_impure
from app.artifacts.limits import MAX_FILE_BYTES
from app.artifacts.plain_file import read_plain_file
from app.errors import ArtifactError
from app.types import InputSpec

SIGNATURE = "serving_default"

GraphFunction = Callable[[tf.Tensor], tf.Tensor]
"""``(N, H, W, C)`` uint8 to ``(N, K)`` float32, rows sum to 1."""


def load_frozen_graph(path: Path, spec: InputSpec, classes: int) -> GraphFunction:
    """Read ``saved_model.pb`` and return what it computes; nothing of it is executed.

    Args:
        path: The file.
        spec: What the manifest says of the input.
        classes: K.

    Raises:
        ArtifactError: It is no frozen graph, holds an operation that is not let through, or takes
            or gives something else than the manifest says.
    """
    graph, signature = _read(path)
    image, scores = _one(signature.inputs, "input"), _one(signature.outputs, "output")
    _check_tensor(image, tf.uint8, (None, *spec.shape), "takes")
    _check_tensor(scores, tf.float32, (None, classes), "gives")
    refuse_impure(graph, roots=[image.name, scores.name])

    def import_graph() -> None:
        tf.graph_util.import_graph_def(graph, name="")

    try:
        imported = tf.compat.v1.wrap_function(import_graph, [])
        function = imported.prune(
            imported.graph.as_graph_element(image.name),
            imported.graph.as_graph_element(scores.name),
        )
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise ArtifactError(f"{path.name} cannot be loaded: {error}") from error
    return lambda images: function(images)


def _read(path: Path) -> tuple[Any, Any]:
    """Return ``GraphDef`` and ``SignatureDef``."""
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(read_plain_file(path, MAX_FILE_BYTES))
    except (OSError, DecodeError) as error:
        raise ArtifactError(f"{path.name} cannot be read: {error}") from error
    if len(saved.meta_graphs) != 1 or SIGNATURE not in saved.meta_graphs[0].signature_def:
        raise ArtifactError(f"{path.name} must hold one graph with the signature {SIGNATURE}")
    meta_graph = saved.meta_graphs[0]
    return meta_graph.graph_def, meta_graph.signature_def[SIGNATURE]


def _one(tensors: Any, which: str) -> Any:
    if len(tensors) != 1:
        raise ArtifactError(f"the graph has {len(tensors)} {which}s, must have one")
    return next(iter(tensors.values()))


def _check_tensor(tensor: Any, dtype: tf.DType, shape: tuple[int | None, ...], verb: str) -> None:
    found = tf.TensorShape(tensor.tensor_shape)
    if tensor.dtype != dtype.as_datatype_enum or found.as_list() != list(shape):
        raise ArtifactError(
            f"the graph {verb} {tf.as_dtype(tensor.dtype).name} {found}, the manifest says "
            f"{dtype.name} {tf.TensorShape(shape)}"
        )
