"""From a version folder to the jax engine, on every device that it may use."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from app.artifacts.manifest import Manifest
from app.runtime.jax_devices import find_devices, in_host_memory
from app.runtime.jax_engine import JaxServable, StagedJaxServable
from app.runtime.keras_file import load_model
from app.runtime.mixed_precision import in_precision
from app.runtime.policy import EnginePolicy
from app.runtime.servable_group import servable_of
from app.types import Servable


def load_on_devices(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Read a version once, and copy it to each device.

    Args:
        folder: Of the version.
        manifest: Its description.
        policy: One of ``engine_choices``, which has no frozen graphs for this engine.

    Returns:
        A servable; of several devices a ``DeviceGroup``.

    Raises:
        ArtifactError: It cannot be read or built, or a device is not there.
    """
    if policy.precision == "auto":
        raise ValueError("the precision is still to be chosen")
    devices = find_devices(policy.devices)
    with in_host_memory():  # the network's own weights, of which each device gets a copy
        network = in_precision(load_model(folder / manifest.network_file), policy.precision)
    return servable_of(
        partial(
            StagedJaxServable if device.is_gpu else JaxServable,
            network,
            manifest.input.spec,
            policy.allowed_batch_sizes,
            temperature=manifest.calibration.temperature,
            scale=manifest.input.scale,
            offset=manifest.input.offset,
            device=device,
            precision=policy.precision,
        )
        for device in devices
    )
