"""A version on two logical CPU devices behind one batcher; run by a test, in a process of its own.

TensorFlow divides the CPU only before it is first used. Fails where a promise is not kept.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from app.artifacts.manifest import read_manifest
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import prepare_servable
from app.runtime.servable_group import DeviceGroup
from tests.fakes import RecordingObserver

SIZES = (1, 4, 8)


async def answers(servable: DeviceGroup, images: list[np.ndarray]) -> np.ndarray:
    policy = BatchPolicy(SIZES[-1], SIZES)
    batcher = DynamicBatcher(servable, policy, observer=RecordingObserver())
    batcher.start()
    results = await asyncio.gather(*batcher.schedule_many(images))
    await batcher.close()
    return np.stack([result.scores for result in results])


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    folder = Path(sys.argv[1])
    manifest = read_manifest(folder)
    shape = (41, *manifest.input.spec.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    one = load_servable(folder, manifest, EnginePolicy("tensorflow", "float32", SIZES))
    expected = np.concatenate([one.execute(images[i : i + 8]) for i in range(0, len(images), 8)])
    both = EnginePolicy("tensorflow", "float32", SIZES, devices=("cpu:1", "cpu:0"))
    group, result = prepare_servable(folder, manifest, both, load_servable)
    assert isinstance(group, DeviceGroup)
    assert (group.info.device, result.top1_agreement) == ("2 × cpu", 1.0)
    placed = [member.execute(images[:1]) for member in group.members]
    np.testing.assert_allclose(placed[0], placed[1], atol=1e-6)
    found = asyncio.run(answers(group, list(images)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    group.close()
    with pytest.raises(ArtifactError, match=r"sees cpu:0, cpu:1, not cpu:2 \(KERASERVE_DEVICES\)"):
        load_servable(folder, manifest, EnginePolicy("tensorflow", "float32", devices=("cpu:2",)))


if __name__ == "__main__":
    main()
