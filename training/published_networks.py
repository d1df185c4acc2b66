"""The network of a published version, and what it would take to put it beside another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.artifacts.manifest import Manifest, ManifestInput
from app.errors import ArtifactError
from app.types import ImageArray, ScoreArray
from training.config import RunConfig
from training.data.dataset import Dataset


def load_network(folder: Path, manifest: Manifest) -> Callable[[ImageArray], ScoreArray]:
    """Return the network of a version as a function on arrays, without its temperature.

    Args:
        folder: Of the version; its checksums are right.
        manifest: Its description.

    Returns:
        ``(N, H, W, C)`` uint8 to ``(N, K)`` float32, for any N.

    Raises:
        ArtifactError: It cannot be loaded.
    """
    from training.frozen_graph import read_frozen
    from training.keras_networks import executable, load_published

    path = folder / manifest.network_file
    if manifest.format == "keras":
        return executable(load_published(path))
    return read_frozen(path).execute


def require_alike(manifest: Manifest, dataset: Dataset, expected_input: ManifestInput) -> None:
    """Refuse a version whose answers are not about these images.

    Raises:
        ArtifactError: It has other classes, or takes another input.
    """
    if manifest.classes != dataset.classes:
        raise ArtifactError(
            f"it knows the classes {', '.join(manifest.classes)}; "
            f"the images are of {', '.join(dataset.classes)}"
        )
    if manifest.input != expected_input:
        differing = [
            f"{key} {getattr(manifest.input, key)} instead of {value}"
            for key, value in expected_input.model_dump().items()
            if getattr(manifest.input, key) != value
        ]
        raise ArtifactError(f"it takes another input: {', '.join(differing)}")


def divided_otherwise(manifest: Manifest, config: RunConfig, dataset: Dataset) -> str | None:
    """Say why a version may have learnt from images that a run keeps apart; None if it has not.

    Parts that the data set has of its own are nobody's training images. Those that were split off
    are the same only for the same images, the same seed and the same shares.
    """
    if not dataset.split_off:
        return None
    record = manifest.training
    if record.dataset_fingerprint != dataset.fingerprint:
        return "it was trained on other images, which were divided in another way"
    keys = [f"{part}_share" for part in dataset.split_off]
    data = record.config.get("data", {})
    its = {f"data.{key}": data.get(key) for key in keys} | {"fit.seed": record.seed}
    ours = {f"data.{key}": getattr(config.data, key) for key in keys}
    for key, value in {**ours, "fit.seed": config.fit.seed}.items():
        if its[key] != value:
            return f"it was trained with {key} = {its[key]}, this run has {value}"
    return None
