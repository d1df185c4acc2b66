"""Frozen graphs as the service loads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from app.errors import ArtifactError
from app.runtime.saved_model import load_frozen_graph
from app.runtime.tensorflow_engine import TensorFlowServable
from app.types import InputSpec

pytestmark = pytest.mark.keras

SPEC = InputSpec(2, 3, 1)


def write_graph(path: Path, function: Callable[[tf.Tensor], tf.Tensor], **changes: Any) -> Path:
    """Write what ``function`` does to ``(N, 2, 3, 1)`` uint8 as a SavedModel of one file."""
    spec = tf.TensorSpec((None, *SPEC.shape), tf.uint8, name="image")
    graph = tf.function(function, input_signature=[spec]).get_concrete_function().graph
    saved = saved_model_pb2.SavedModel()
    meta_graph = saved.meta_graphs.add()
    meta_graph.graph_def.CopyFrom(graph.as_graph_def())
    signature = meta_graph.signature_def[changes.get("signature", "serving_default")]
    for tensors, tensor in (
        (signature.inputs["image"], graph.inputs[0]),
        (signature.outputs["scores"], graph.outputs[0]),
    ):
        tensors.name = tensor.name
        tensors.dtype = tensor.dtype.as_datatype_enum
        tensors.tensor_shape.CopyFrom(tensor.shape.as_proto())
    path.write_bytes(saved.SerializeToString())
    return path


def halves(images: tf.Tensor) -> tf.Tensor:
    """Give the share of the light in each of the two rows."""
    rows = tf.reduce_sum(tf.cast(images, tf.float32), axis=[2, 3]) + 1.0
    return rows / tf.reduce_sum(rows, axis=1, keepdims=True)


def test_frozen_graph_is_served_in_any_batch_and_with_a_temperature(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, *SPEC.shape), dtype=np.uint8)
    network = load_frozen_graph(write_graph(tmp_path / "a.pb", halves), SPEC, 2)
    expected = halves(tf.constant(images)).numpy()

    servable = TensorFlowServable(network, SPEC, (1, 2, 4))
    warm = TensorFlowServable(network, SPEC, (4,), temperature=2.0)

    servable.warm_up()
    for count in (1, 3, 4):
        np.testing.assert_allclose(servable.execute(images[:count]), expected[:count], atol=1e-6)
    roots = np.sqrt(expected)
    np.testing.assert_allclose(
        warm.execute(images), roots / roots.sum(axis=1, keepdims=True), atol=1e-6
    )


def reads_a_file(images: tf.Tensor) -> tf.Tensor:
    return halves(images) + tf.cast(tf.strings.length(tf.io.read_file("secret")), tf.float32)


def writes_beside_its_work(images: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.io.write_file("never", "written")]):
        return tf.identity(halves(images))


@pytest.mark.parametrize(
    ("function", "operation"), [(reads_a_file, "ReadFile"), (writes_beside_its_work, "WriteFile")]
)
def test_graph_that_does_more_than_compute_is_refused_before_it_runs(
    function: Callable[[tf.Tensor], tf.Tensor], operation: str, tmp_path: Path
) -> None:
    path = write_graph(tmp_path / "a.pb", function)

    with pytest.raises(ArtifactError, match=operation):
        load_frozen_graph(path, SPEC, 2)


def test_graph_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.pb", halves)

    with pytest.raises(ArtifactError, match=r"gives float32 \(None, 2\), the manifest says .* 3\)"):
        load_frozen_graph(path, SPEC, 3)
    with pytest.raises(ArtifactError, match=r"takes uint8 \(None, 2, 3, 1\), the manifest says"):
        load_frozen_graph(path, InputSpec(2, 3, 3), 2)


def test_damaged_file_and_other_signature_are_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.pb").write_bytes(b"\xff\xff\xff")
    other = write_graph(tmp_path / "other.pb", halves, signature="predict")

    with pytest.raises(ArtifactError, match=r"damaged\.pb cannot be read"):
        load_frozen_graph(tmp_path / "damaged.pb", SPEC, 2)
    with pytest.raises(ArtifactError, match="one graph with the signature serving_default"):
        load_frozen_graph(other, SPEC, 2)
