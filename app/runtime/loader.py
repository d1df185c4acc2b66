"""From a version folder to a servable of the chosen engine."""

from __future__ import annotations

from pathlib import Path

from app.artifacts.layout import OPENVINO_MODEL
from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from app.runtime.jax_environment import configure_jax
from app.runtime.keras_backend import choose_backend
from app.runtime.memory import settle_heap, settle_imports
from app.runtime.policy import EnginePolicy
from app.types import Servable


def load_servable(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Build the network of a verified version on the device. Blocks for seconds.

    Engines are imported here: each is large, and only the chosen one need be installed.

    Args:
        folder: Of the version.
        manifest: Its description.
        policy: One of ``engine_choices``: no part of it is ``auto``.

    Raises:
        ArtifactError: The engine is not installed, or cannot load the version.
    """
    if policy.engine == "openvino":
        return _load_openvino(folder, manifest, policy)
    if policy.engine == "jax":
        return _load_jax(folder, manifest, policy)
    return _load_tensorflow(folder, manifest, policy)


def _load_openvino(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    from app.runtime.openvino_engine import OpenVinoServable
    from app.runtime.streams import shared

    settle_imports()
    settle_heap(has_own_buffers=True)
    if policy.precision not in ("float32", "bfloat16"):
        raise ValueError(f"the openvino engine has no precision {policy.precision}")
    network = OpenVinoServable(
        folder / OPENVINO_MODEL,
        manifest.input.spec,
        len(manifest.classes),
        policy.allowed_batch_sizes,
        policy.precision,
        threads=policy.threads,
    )
    return shared(network, policy.allowed_batch_sizes[-1])


def _load_tensorflow(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    choose_backend("tensorflow")
    try:
        from app.runtime import tensorflow_devices, tensorflow_loading
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"the tensorflow engine is not installed ({error.name} is missing): install "
            "keraserve[tensorflow-cpu] or keraserve[gpu] (`make train` does), or export the "
            "version for the openvino engine (keraserve models export)"
        ) from error
    settle_imports()
    settle_heap(has_own_buffers=False)
    tensorflow_devices.configure_tensorflow(policy.threads)
    return tensorflow_loading.load_on_devices(folder, manifest, policy)


def _load_jax(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    choose_backend("jax")
    configure_jax(policy.threads)
    try:
        from app.runtime import jax_loading
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"the jax engine is not installed ({error.name} is missing): install keraserve[jax], "
            "for GPUs keraserve[jax-gpu]"
        ) from error
    settle_imports()
    settle_heap(has_own_buffers=False)
    return jax_loading.load_on_devices(folder, manifest, policy)
