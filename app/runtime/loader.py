"""From a version folder to a servable of the chosen engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.artifacts.manifest import Manifest
from app.errors import ArtifactError
from app.runtime.memory import settle_imports
from app.runtime.policy import EnginePolicy
from app.types import Servable


def load_servable(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
    """Build the network of a verified version on the device. Blocks for seconds.

    Engines are imported here: each is large, and only the chosen one need be installed.

    Raises:
        ArtifactError: The engine is not installed, or cannot load the version.
    """
    try:
        from app.runtime import saved_model, tensorflow_engine
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"the tensorflow engine is not installed ({error.name} is missing): "
            "install keraserve[cpu] or keraserve[gpu]"
        ) from error
    settle_imports()
    tensorflow_engine.configure_tensorflow()
    network, path = manifest.input, folder / manifest.network_file
    model: Any
    if manifest.format == "saved_model":
        model = saved_model.load_frozen_graph(path, network.spec, len(manifest.classes))
    else:
        model = tensorflow_engine.load_model(path)
    return tensorflow_engine.TensorFlowServable(
        model,
        network.spec,
        policy.allowed_batch_sizes,
        temperature=manifest.calibration.temperature,
        scale=network.scale,
        offset=network.offset,
    )
