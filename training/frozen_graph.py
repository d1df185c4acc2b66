"""Networks that Keras cannot describe, as versions hold them: one graph without variables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from app.artifacts.graph_operations import refuse_impure
from app.errors import ArtifactError
from app.types import ImageArray, ScoreArray

SIGNATURE = "serving_default"
"""Of the frozen graph; the service asks for it."""


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A graph without variables: ``(N, H, W, C)`` uint8 in, ``(N, K)`` probabilities out."""

    function: Any

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32."""
        (scores,) = self.function(tf.constant(images))
        array: ScoreArray = scores.numpy()
        return array

    def write(self, path: Path) -> None:
        """Write a SavedModel that consists of this one file.

        Without variables nothing has to be restored, so that any reader of SavedModels takes it.
        """
        saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        meta_graph = saved.meta_graphs.add()
        meta_graph.meta_info_def.tags.append(tf.saved_model.SERVING)
        meta_graph.graph_def.CopyFrom(self.function.graph.as_graph_def())
        signature = meta_graph.signature_def[SIGNATURE]
        signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
        for tensors, tensor in (
            (signature.inputs["image"], self.function.inputs[0]),
            (signature.outputs["scores"], self.function.outputs[0]),
        ):
            tensors.name = tensor.name
            tensors.dtype = tensor.dtype.as_datatype_enum
            tensors.tensor_shape.CopyFrom(tensor.shape.as_proto())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved.SerializeToString(deterministic=True))


def read_frozen(path: Path) -> FrozenGraph:
    """Read what ``FrozenGraph.write`` wrote into a version whose checksums are right.

    Raises:
        ArtifactError: It is no such file, or could do more than compute.
    """
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(path.read_bytes())
        (meta_graph,) = saved.meta_graphs
        signature = meta_graph.signature_def[SIGNATURE]
        image, scores = signature.inputs["image"].name, signature.outputs["scores"].name
        refuse_impure(meta_graph.graph_def, roots=[image, scores])
        imported = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(meta_graph.graph_def, name=""), []
        )
        element = imported.graph.as_graph_element
        return FrozenGraph(imported.prune([element(image)], [element(scores)]))
    except (OSError, DecodeError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise ArtifactError(f"{path} cannot be loaded: {error}") from error
