"""Short ways to read a set of one's own, as a run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.config import DataConfig
from training.data.dataset import Dataset
from training.data.loading import load_dataset


def own_config(*, side: int = 8, channels: int = 1, **changes: Any) -> DataConfig:
    """``input`` in ``changes`` adds to the size."""
    size = {"height": side, "width": side, "channels": channels, **changes.pop("input", {})}
    return DataConfig.model_validate({"dataset": "images", "input": size, **changes})


def read_own(path: Path, *, seed: int = 0, **changes: Any) -> Dataset:
    return load_dataset(own_config(**changes), path, seed=seed)


def read_public(name: str, path: Path, *, seed: int = 0) -> Dataset:
    return load_dataset(DataConfig.model_validate({"dataset": name}), path, seed=seed)
