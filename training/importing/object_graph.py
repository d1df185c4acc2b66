"""Looks into a SavedModel for what would run while TensorFlow loads it.

Besides the functions that are served, a SavedModel may carry functions that fill lookup tables,
open files or restore objects, and loading runs them. Those objects are refused here, before the
loader sees the file: what is left is weights, constants and functions, which loading only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from app.errors import ArtifactError

FILE = "saved_model.pb"

_HARMLESS = {
    "bare_concrete_function",
    "captured_tensor",
    "constant",
    "function",
    "user_object",
    "variable",
}
_HARMLESS_CLASSES = {"tf.TrackableConstant"}
_REASONS = {
    "asset": "it brings a file of its own (a vocabulary, a table), which its graph would read",
    "resource": "it keeps a lookup table or another resource, whose functions run on loading",
}


def check_object_graph(folder: Path) -> None:
    """Refuse a SavedModel that would execute anything while it is loaded.

    Raises:
        ArtifactError: It would, or the file is damaged, or of TensorFlow 1.
    """
    for node in _nodes(folder):
        kind = node.WhichOneof("kind")
        if kind not in _HARMLESS:
            reason = _REASONS.get(kind, f"it holds an object of the kind {kind}")
            raise _refused(folder, reason)
        if node.registered_name and node.registered_name not in _HARMLESS_CLASSES:
            raise _refused(folder, f"it needs the class {node.registered_name}")
        if node.registered_saver or node.saveable_objects:
            raise _refused(folder, "it restores its weights by functions of its own")


def _nodes(folder: Path) -> Sequence[Any]:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder.name} is no SavedModel: it has no {FILE}") from error
    except (OSError, DecodeError) as error:
        raise ArtifactError(f"{folder.name}/{FILE} cannot be read: {error}") from error
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].object_graph_def.nodes:
        raise ArtifactError(
            f"{folder.name} was written by TensorFlow 1, or holds several graphs: load it with "
            "the program that made it, and write it with tf.saved_model.save of TensorFlow 2"
        )
    nodes: Sequence[Any] = saved.meta_graphs[0].object_graph_def.nodes
    return nodes


def _refused(folder: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        f"{folder.name} is refused: {reason}. Export the network alone, with model.export() or "
        "tf.saved_model.save"
    )
