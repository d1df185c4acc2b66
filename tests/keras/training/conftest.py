"""A small data set and a small run; the Fashion-MNIST network, for the other one is slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.types import InputSpec
from tests.factories.datasets import write_png_folder
from training.config import RunConfig
from training.data import Dataset, load_dataset


@pytest.fixture(scope="session")
def images_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_png_folder(tmp_path_factory.mktemp("data") / "set", train=150, test=60, side=28)


@pytest.fixture(scope="session")
def dataset(images_path: Path) -> Dataset:
    return load_dataset("images", images_path, InputSpec(28, 28, 1))


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "shapes",
            "data": {"dataset": "images", "input": {"height": 28, "width": 28, "channels": 1}},
            "architecture": {"name": "fashion_mnist_cnn"},
            "augmentation": {"flip": True, "shift_px": 1},
            "optimizer": {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-3},
            "schedule": {"name": "cosine", "warmup_epochs": 1},
            "fit": {"epochs": 4, "batch_size": 32, "precision": "float32", "seed": 3},
            "gate": {"min_test_accuracy": 0.6},
        }
    )


def with_fit(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"fit": config.fit.model_copy(update=changes)})
