"""The same Keras network with its layers computing in another number format."""

from __future__ import annotations

import copy
from typing import Any

import keras

from app.errors import ArtifactError
from app.runtime.policy import NumberFormat

_POLICIES: dict[NumberFormat, str] = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}

_EXACT_LAYERS = frozenset({"Rescaling", "Normalization", "Softmax"})
"""They stay in float32: what scales pixels is next to nothing and would lose digits before the
first layer that counts; a softmax in 16 bits does not sum to 1."""

_EXACT_ACTIVATIONS = frozenset({"softmax", "log_softmax", "sigmoid", "log_sigmoid"})
"""Layers that end in one of these stay in float32, for the same reason."""


def in_precision(network: keras.Model, precision: NumberFormat) -> keras.Model:
    """Return ``network`` computing in ``precision``; itself where nothing has to change.

    In float32 it is taken as it was published: what was recorded was computed by that. (Our own
    training publishes in float32; an imported network may have layers in another format.)

    Else its configuration is rewritten, nested networks and wrapped layers included, and a network
    is built from that, with the same weights: these stay in float32 and are rounded once, when the
    function is compiled. The layers that give the result, those that scale pixels and those that
    end in a softmax or sigmoid compute in float32 in any case. What is neither float32 nor one of
    Keras' mixed policies (float64, quantised layers) is left as it is.

    Raises:
        ArtifactError: Keras cannot build the network again from its configuration.
    """
    if precision == "float32":
        return network
    before = network.get_config()
    after = copy.deepcopy(before)
    _rewrite(after, _POLICIES[precision], _output_layers(before))
    if after == before:
        return network
    try:
        built = type(network).from_config(after)
        built.set_weights(network.get_weights())
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise ArtifactError(f"the network cannot be built in {precision}: {error}") from error
    return built


def _output_layers(config: dict[str, Any]) -> frozenset[str]:
    """Return the names of the layers whose result is the network's."""
    if "output_layers" not in config:  # Sequential: the last one
        return frozenset(layer["config"].get("name", "") for layer in config["layers"][-1:])
    outputs = config["output_layers"]
    if outputs and isinstance(outputs[0], str):  # of one output the list stands alone
        outputs = [outputs]
    return frozenset(output[0] for output in outputs)


def _rewrite(part: Any, policy: str, exact: frozenset[str] = frozenset()) -> None:
    """Change the policies in a configuration, in place; layers named in ``exact`` get float32."""
    if isinstance(part, list | tuple):
        for item in part:
            _rewrite(item, policy, exact)
        return
    if not isinstance(part, dict):
        return
    config = part.get("config")
    if isinstance(config, dict) and "dtype" in config:
        is_exact = config.get("name") in exact or _is_exact(part["class_name"], config)
        config["dtype"] = _changed(config["dtype"], "float32" if is_exact else policy)
    for item in part.values():
        _rewrite(item, policy, exact)


def _is_exact(class_name: str, config: dict[str, Any]) -> bool:
    activation = config.get("activation")
    if isinstance(activation, dict):  # an activation that is a layer
        activation = activation.get("class_name", "").lower()
    return class_name in _EXACT_LAYERS or activation in _EXACT_ACTIVATIONS


def _changed(dtype: Any, policy: str) -> Any:
    """Return a layer's policy as it should be. Names of types are no policies: of inputs, say."""
    if not isinstance(dtype, dict) or dtype.get("class_name") != "DTypePolicy":
        return dtype
    if dtype["config"]["name"] not in _POLICIES.values():
        return dtype
    return {**dtype, "config": {"name": policy}}
