"""A SavedModel as one frozen graph, with preprocessing and softmax inside.

Keras 3 cannot turn a SavedModel back into layers, so its graph is what is published: weights become
constants, and nothing that the file brings along is left but arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from app.artifacts.graph_operations import VARIABLE_OPERATIONS, refuse_impure
from app.errors import ArtifactError
from app.types import InputSpec
from training.frozen_graph import FrozenGraph
from training.importing.object_graph import check_object_graph
from training.importing.options import ImportOptions, input_spec

_WANTED_SIGNATURES = ("serving_default", "serve")


@dataclass(frozen=True, slots=True)
class Served:
    """The function of a SavedModel that is to be served.

    Attributes:
        function: The signature.
        argument: Name of its one input.
        shape: Of the input without the batch.
        classes: K.
        keep: What owns the weights: the function alone does not keep them alive.
    """

    function: Any
    argument: str
    shape: tuple[int | None, ...]
    classes: int
    keep: Any

    @property
    def parameters(self) -> int:
        """Number of weights that the function reads."""
        return sum(int(np.prod(v.shape)) for v in self.function.variables)

    @property
    def non_finite_weights(self) -> int:
        """Number of those that are NaN or infinite."""
        weights = [v.numpy() for v in self.function.variables if v.dtype.is_floating]
        return sum(int(w.size - np.isfinite(w.astype(np.float64)).sum()) for w in weights)


def load_saved_model(folder: Path) -> Served:
    """Look into a SavedModel, load it, and look at the function that would be served.

    Raises:
        ArtifactError: It could do more than compute, is damaged, or takes or gives something else
            than one image and one vector of scores.
    """
    check_object_graph(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged folder raises whatever the reader at work raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{folder.name} cannot be loaded: {reason}") from error
    function = _choose_signature(loaded.signatures)
    refuse_impure(
        function.graph.as_graph_def(),
        roots=[tensor.name for tensor in (*function.outputs, *function.graph.control_outputs)],
        more=VARIABLE_OPERATIONS,
    )
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise ArtifactError(
            f"the signature has {len(inputs)} inputs and {len(outputs)} outputs; one image in and "
            "one vector of scores out is what can be served"
        )
    ((argument, taken),) = inputs.items()
    (given,) = outputs.values()
    return Served(function, argument, _image_shape(taken), _number_of_classes(given), keep=loaded)


def saved_model_spec(served: Served, options: ImportOptions) -> InputSpec:
    """Return what uploads are brought to.

    Raises:
        ArtifactError: The input is no image, or its size is open or contradicts --input-size.
    """
    if _input_dtype(served) == tf.uint8 and not options.is_plain:
        raise ArtifactError(
            "the network takes uint8 and does its own preprocessing; leave --scale, --offset, "
            "--mean and --std out"
        )
    return input_spec(served.shape, options)


def freeze(served: Served, spec: InputSpec, options: ImportOptions) -> FrozenGraph:
    """Put preprocessing and softmax around the function, and make constants of its weights.

    Raises:
        ArtifactError: What comes out could do more than compute.
    """
    prepare = _preprocessing(_input_dtype(served), spec, options)

    def network(image: tf.Tensor) -> tf.Tensor:
        x = prepare(image)
        if len(served.shape) == 2:
            x = tf.squeeze(x, axis=3)  # (N, H, W)
        (scores,) = served.function(**{served.argument: x}).values()
        scores = tf.ensure_shape(tf.cast(scores, tf.float32), (None, served.classes))
        return tf.identity(tf.nn.softmax(scores) if options.logits else scores, name="scores")

    signature = [tf.TensorSpec((None, *spec.shape), tf.uint8, name="image")]
    whole = tf.function(network, input_signature=signature).get_concrete_function()
    frozen = convert_variables_to_constants_v2(whole)
    refuse_impure(frozen.graph.as_graph_def(), roots=[tensor.name for tensor in frozen.outputs])
    return FrozenGraph(frozen)


def _choose_signature(signatures: Any) -> Any:
    names = list(signatures)
    name = next((name for name in _WANTED_SIGNATURES if name in names), None)
    if name is None and len(names) == 1:
        name = names[0]
    if name is None:
        raise ArtifactError(
            f"the SavedModel has the signatures {', '.join(names) or 'none'}; it must have "
            f"{' or '.join(_WANTED_SIGNATURES)}, or one alone"
        )
    return signatures[name]


def _image_shape(taken: tf.TensorSpec) -> tuple[int | None, ...]:
    if taken.dtype != tf.uint8 and not taken.dtype.is_floating:
        raise ArtifactError(
            f"the network takes {taken.dtype.name}, must be floating point or uint8"
        )
    if taken.shape.rank is None:
        raise ArtifactError("the network takes tensors of any shape; export it with an image's")
    batch, *shape = taken.shape.as_list()
    if batch is not None:
        raise ArtifactError(
            f"the network takes batches of {batch} only; export it with an open batch size "
            "(None as the first size of its input)"
        )
    return tuple(shape)


def _number_of_classes(given: tf.TensorSpec) -> int:
    if given.shape.rank != 2 or given.shape[1] is None or not given.dtype.is_floating:
        raise ArtifactError(
            f"the network gives {given.dtype.name} {given.shape}, must be floating point "
            "(batch, classes)"
        )
    return int(given.shape[1])


def _input_dtype(served: Served) -> tf.DType:
    return served.function.structured_input_signature[1][served.argument].dtype


def _preprocessing(
    dtype: tf.DType, spec: InputSpec, options: ImportOptions
) -> Callable[[tf.Tensor], tf.Tensor]:
    if dtype == tf.uint8:
        return lambda image: image
    mean = tf.constant(options.mean_of(spec.channels), tf.float32)
    std = tf.constant(options.std_of(spec.channels), tf.float32)

    def prepare(image: tf.Tensor) -> tf.Tensor:
        x = tf.cast(image, tf.float32)
        if not options.is_plain:
            x = (x * options.scale + options.offset - mean) / std
        return tf.cast(x, dtype)

    return prepare
