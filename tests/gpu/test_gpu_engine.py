"""The tensorflow engine on a GPU: ``make test ARGS="-m gpu"`` where there is one."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from app.artifacts.layout import SAMPLES
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import read_samples
from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.devices.nvidia import NvidiaGpus
from app.runtime.choices import engine_choices
from app.runtime.host import ThisHost
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import prepare_servable
from app.types import MeteredServable, Servable, ServableGroup, StagingServable
from tests.fakes import RecordingObserver
from tests.keras.server_process import ROOT

pytestmark = pytest.mark.gpu

FOLDER = max((ROOT / "models" / "cifar10").glob("[1-9]*"), key=lambda folder: int(folder.name))
MANIFEST = read_manifest(FOLDER)


@pytest.fixture(scope="module")
def choices() -> tuple[EnginePolicy, ...]:
    """What is tried on the first GPU, best first."""
    policy = EnginePolicy("tensorflow", devices=("gpu:0",))
    return engine_choices(policy, ThisHost(), is_exported=True)


def test_every_precision_that_is_tried_here_passes_its_self_test(
    choices: tuple[EnginePolicy, ...],
) -> None:
    for choice in choices:
        servable, _ = prepare_servable(FOLDER, MANIFEST, choice, load_servable)
        assert servable.info.precision == choice.precision
        assert servable.info.device != "cpu"
        servable.close()


def test_xla_is_measured_when_a_version_loads(
    choices: tuple[EnginePolicy, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app.runtime.xla_choice"):
        load_servable(FOLDER, MANIFEST, choices[0]).close()
    assert {"XLA measured", "XLA cannot compile the network"} & {
        record.message for record in caplog.records
    }


def test_copied_images_are_on_the_gpu(choices: tuple[EnginePolicy, ...]) -> None:
    servable = load_servable(FOLDER, MANIFEST, choices[0])
    assert isinstance(servable, StagingServable)
    images = read_samples(FOLDER / SAMPLES).images[:8]
    staged = servable.stage(images)
    assert "GPU:0" in staged.batch.device
    np.testing.assert_allclose(servable.execute_staged(staged), servable.execute(images), atol=1e-5)


def test_engine_and_driver_agree_on_the_memory_of_a_gpu(
    choices: tuple[EnginePolicy, ...],
) -> None:
    servable = load_servable(FOLDER, MANIFEST, choices[0])
    assert isinstance(servable, MeteredServable)
    assert servable.info.device_id == "gpu:0"
    memory, gpu = servable.memory_reader(), NvidiaGpus().read(0)
    assert memory.peak is not None
    assert 0 < memory.used <= memory.peak <= gpu.used_bytes <= gpu.total_bytes
    servable.close()


async def test_every_gpu_answers_from_one_queue_with_batches_copied_ahead(
    choices: tuple[EnginePolicy, ...],
) -> None:
    everywhere = EnginePolicy("tensorflow", choices[0].precision)
    servable = load_servable(FOLDER, MANIFEST, everywhere)
    servable.warm_up()
    images = read_samples(FOLDER / SAMPLES).images
    expected = servable.execute(images[:64])
    found = await answers(servable, [*images[:64]] * 32)
    assert isinstance(servable, ServableGroup | StagingServable)
    np.testing.assert_allclose(found, np.tile(expected, (32, 1)), atol=0.02)


async def answers(servable: Servable, images: list[np.ndarray]) -> np.ndarray:
    batcher = DynamicBatcher(
        servable, BatchPolicy(max_queue_size=len(images)), observer=RecordingObserver()
    )
    batcher.start()
    results = await asyncio.gather(*batcher.schedule_many(images))
    await batcher.close()
    return np.stack([result.scores for result in results])
