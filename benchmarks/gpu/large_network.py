"""A ResNet-50 with random weights, published as any other version: work for a GPU."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from app.artifacts.layout import MODEL, SAMPLES
from app.artifacts.manifest import (
    Gate,
    Manifest,
    ManifestInput,
    SelfTestTolerance,
    TrainingRecord,
)
from app.artifacts.publish import publish_version
from app.artifacts.samples import Samples, write_samples
from app.runtime.jax_devices import find_devices, in_host_memory
from app.runtime.jax_engine import JaxServable

NAME = "resnet50"
SIDE_PX = 224
CLASSES = 10
_SAMPLES = 8
_RESIDUAL_GAIN = 0.2
"""Of the last normalisation of each block. At 1, untrained statistics let numbers grow from block
to block, out of the range of float16; training does not."""


def publish_large_network(store_dir: Path) -> Path:
    """Publish it below ``store_dir`` and return the version's folder."""
    with in_host_memory():
        network = _network()
    return publish_version(store_dir, NAME, lambda folder, version: _fill(folder, version, network))


def _network() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE_PX, SIDE_PX, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    body = keras.applications.ResNet50(
        include_top=False, weights=None, input_tensor=scaled, pooling="avg"
    )
    for layer in body.layers:
        if layer.name.endswith("_3_bn"):
            gamma, *others = layer.get_weights()
            layer.set_weights([gamma * _RESIDUAL_GAIN, *others])
    scores = keras.layers.Dense(CLASSES, activation="softmax")(body.output)
    return keras.Model(image, scores)


def _fill(folder: Path, version: int, network: keras.Model) -> Manifest:
    network.save(folder / MODEL)
    manifest = Manifest(
        name=NAME,
        version=version,
        created_at=datetime.now(UTC),
        architecture="resnet50",
        parameters=network.count_params(),
        input=ManifestInput(height=SIDE_PX, width=SIDE_PX, channels=3),
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        metrics={},
        gate=Gate(passed=True),
        training=TrainingRecord(
            dataset="none",
            dataset_fingerprint="0" * 64,
            command="python -m benchmarks.gpu",
            config={},
            seed=1,
            duration_s=0,
            hardware="none",
            libraries={"keras": keras.__version__},
        ),
        # Nobody trained it to be sure of anything: its first and second class may lie as near to
        # each other as the precisions do.
        self_test=SelfTestTolerance(min_top1_agreement=0),
        files={},
    )
    shape = (_SAMPLES, SIDE_PX, SIDE_PX, 3)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    exact = JaxServable(network, manifest.input.spec, (_SAMPLES,), device=find_devices(())[0])
    write_samples(folder / SAMPLES, Samples(images, exact.execute(images)))
    exact.close()
    return manifest
