"""From a version folder to a servable of the chosen engine."""

from __future__ import annotations

from pathlib import Path

from app.artifacts.layout import MODEL
from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from app.runtime.policy import EnginePolicy
from app.types import Servable


def load_servable(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Build the network of a verified version on the device. Blocks for seconds.

    Engines are imported here: each is large, and only the chosen one need be installed.

    Raises:
        ArtifactError: The engine is not installed, or cannot load the version.
    """
    try:
        from app.runtime import tensorflow_engine
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"the tensorflow engine is not installed ({error.name} is missing): "
            "install keraserve[cpu] or keraserve[gpu]"
        ) from error
    tensorflow_engine.configure_tensorflow()
    model = tensorflow_engine.load_model(folder / MODEL)
    network = manifest.input
    return tensorflow_engine.TensorFlowServable(
        model,
        network.spec,
        policy.allowed_batch_sizes,
        temperature=manifest.calibration.temperature,
        scale=network.scale,
        offset=network.offset,
    )
