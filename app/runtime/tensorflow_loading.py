"""From a version folder to the tensorflow engine, on every device that it may use."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from app.runtime.keras_file import load_model
from app.runtime.mixed_precision import in_precision
from app.runtime.policy import EnginePolicy
from app.runtime.saved_model import GraphFunction, load_frozen_graph
from app.runtime.servable_group import servable_of
from app.runtime.streams import shared
from app.runtime.tensorflow_devices import CPU, Device, find_devices, has_gpus
from app.runtime.tensorflow_engine import StagedTensorFlowServable, TensorFlowServable
from app.runtime.xla_choice import choose_xla
from app.types import Servable

logger = logging.getLogger(__name__)


def load_network(folder: Path, manifest: Manifest) -> keras.Model | GraphFunction:
    """Read the network of a version; nothing in it is executed.

    Returns:
        A Keras network, or a frozen graph as a function.

    Raises:
        ArtifactError: It cannot be read, or holds code.
    """
    path = folder / manifest.network_file
    if manifest.format == "saved_model":
        return load_frozen_graph(path, manifest.input.spec, len(manifest.classes))
    return load_model(path)


def load_on_devices(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Read a version once, and compile it for each device.

    Args:
        folder: Of the version.
        manifest: Its description.
        policy: One of ``engine_choices``.

    Returns:
        A servable; of several devices a ``DeviceGroup``.

    Raises:
        ArtifactError: It cannot be read or built, or a device is not there.
    """
    if policy.precision == "auto":
        raise ValueError("the precision is still to be chosen")
    devices = find_devices(policy.devices)
    network = load_network(folder, manifest)
    if isinstance(network, keras.Model):
        network = in_precision(network, policy.precision)
    is_xla = policy.xla == "on"
    if policy.xla == "auto" and devices[0].is_gpu:
        # The other devices do as the first one: they are of one kind on nearly every host.
        is_xla = choose_xla(
            partial(_compile, network, manifest, policy, devices[0]),
            manifest.input.spec,
            policy.allowed_batch_sizes[-1],
        )
    if [device.id for device in devices] == [CPU.id] and not is_xla and not has_gpus():
        return _shared(_compile(network, manifest, policy, devices[0]), manifest, policy)
    return servable_of(
        partial(_compile, network, manifest, policy, device, is_xla) for device in devices
    )


def _shared(compiled: TensorFlowServable, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Have it share the cores, if it can: what sessions cannot execute is executed as a whole."""
    try:
        return shared(compiled, policy.allowed_batch_sizes[-1])
    except ArtifactError as error:
        fields = {"servable": f"{manifest.name}:{manifest.version}", "reason": str(error)[:300]}
        logger.info("cores are not shared", extra=fields)
        return compiled


def _compile(
    network: keras.Model | GraphFunction,
    manifest: Manifest,
    policy: EnginePolicy,
    device: Device,
    is_xla: bool = False,
) -> TensorFlowServable:
    kind = StagedTensorFlowServable if device.is_gpu else TensorFlowServable
    assert policy.precision != "auto", "checked by the caller"
    try:
        return kind(
            network,
            manifest.input.spec,
            policy.allowed_batch_sizes,
            temperature=manifest.calibration.temperature,
            scale=manifest.input.scale,
            offset=manifest.input.offset,
            device=device,
            precision=policy.precision,
            is_xla=is_xla,
            threads=policy.threads,
        )
    except (TypeError, ValueError, tf.errors.OpError) as error:
        # Operations without a kernel for 16 bits, say: another precision may do.
        reason = str(error).strip().splitlines()[-1]
        raise ArtifactError(
            f"the network cannot be compiled in {policy.precision}: {reason}"
        ) from error
