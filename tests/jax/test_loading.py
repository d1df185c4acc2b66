"""From a version to the jax engine: what was recorded, precisions, devices, one backend."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.artifacts.layout import SAMPLES
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import read_samples
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy, PrecisionName
from app.runtime.preparing import prepare_servable
from app.runtime.servable_group import DeviceGroup
from tests.fakes import RecordingObserver
from tests.keras.networks import shipped

FASHION = shipped("fashion_mnist")


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_shipped_version_gives_the_recorded_probabilities(name: str) -> None:
    folder = shipped(name)
    manifest, samples = read_manifest(folder), read_samples(folder / SAMPLES)
    servable = load_servable(folder, manifest, EnginePolicy("jax", "float32", (1, 32)))
    parts = range(0, len(samples.images), 32)
    scores = np.concatenate([servable.execute(samples.images[i : i + 32]) for i in parts])
    np.testing.assert_allclose(scores, samples.probabilities, atol=1e-5)
    np.testing.assert_array_equal(scores.argmax(axis=1), samples.probabilities.argmax(axis=1))


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_shipped_version_passes_its_self_test(precision: PrecisionName) -> None:
    policy = EnginePolicy("jax", precision, (1, 32), devices=("cpu:0",))
    servable, result = prepare_servable(FASHION, read_manifest(FASHION), policy, load_servable)
    assert (servable.info.engine, servable.info.device) == ("jax", "cpu")
    assert servable.info.precision == ("float32" if precision == "auto" else "bfloat16")
    assert (result.max_deviation > 1e-4) is (precision == "bfloat16")


def test_two_devices_answer_from_one_queue_as_one_does() -> None:
    manifest = read_manifest(FASHION)
    images = read_samples(FASHION / SAMPLES).images[:41]
    sizes = (1, 4, 8)
    one = load_servable(FASHION, manifest, EnginePolicy("jax", "float32", sizes))
    assert one.info.device == "cpu"
    expected = np.concatenate([one.execute(images[i : i + 8]) for i in range(0, len(images), 8)])
    both = EnginePolicy("jax", "float32", sizes, devices=("cpu:1", "cpu:0"))
    group = load_servable(FASHION, manifest, both)
    assert isinstance(group, DeviceGroup)
    assert group.info.device == "2 × cpu"
    group.warm_up()
    found = asyncio.run(answers(group, [*images], sizes))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    group.close()


async def answers(
    group: DeviceGroup, images: list[np.ndarray], sizes: tuple[int, ...]
) -> np.ndarray:
    policy = BatchPolicy(sizes[-1], sizes)
    batcher = DynamicBatcher(group, policy, observer=RecordingObserver())
    batcher.start()
    results = await asyncio.gather(*batcher.schedule_many(images))
    await batcher.close()
    return np.stack([result.scores for result in results])


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    policy = EnginePolicy("jax", "float32", devices=("cpu:7",))
    with pytest.raises(ArtifactError, match=r"JAX sees cpu:0, cpu:1, not cpu:7 \(KERASERVE_DEV"):
        load_servable(FASHION, read_manifest(FASHION), policy)


def test_tensorflow_engine_is_refused_where_keras_computes_with_jax() -> None:
    policy = EnginePolicy("tensorflow", "float32")
    with pytest.raises(ArtifactError, match=r"with jax in this process.*KERASERVE_ENGINE=jax"):
        load_servable(FASHION, read_manifest(FASHION), policy)
