"""What Prometheus sees of images that are not those of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.artifacts.samples import Samples
from app.imaging.encoder import encode_png
from app.types import ImageArray, ServableState
from tests.api.world import CLASSES, World, add_version, serving, until
from tests.factories.versions import edit_manifest
from tests.fakes import scores_of
from training.publishing.statistics import sample_statistics

BRIGHTNESS = ("red", "green", "blue")


def noise(count: int, seed: int) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def add_described_version(store: Path) -> None:
    """Publish a version with the statistics of noise, as the puppet answers it."""
    images = noise(1000, seed=1)
    scores = scores_of(images, len(CLASSES))
    statistics = sample_statistics(Samples(images, scores, scores.argmax(axis=1).astype(np.int64)))
    assert statistics is not None
    edit_manifest(add_version(store), statistics=statistics.model_dump(mode="json"))


async def classify(world: World, images: ImageArray) -> None:
    for start in range(0, len(images), 64):
        files = [("a", encode_png(image)) for image in images[start : start + 64]]
        assert (await world.classify_batch(files)).json()["failed"] == 0


def has_ended(world: World, version: int) -> bool:
    (model,) = world.lifecycle.statuses()
    return any(
        each.version == version and each.state is ServableState.END for each in model.versions
    )


def has_failed(world: World, version: int) -> bool:
    (model,) = world.lifecycle.statuses()
    return any(
        each.version == version and each.state is ServableState.FAILED for each in model.versions
    )


def index(world: World, signal: str) -> float:
    labels = {"model": "cifar10", "version": "1", "signal": signal}
    value = world.lifecycle.metrics.registry.get_sample_value(
        "keraserve_population_stability_index", labels
    )
    assert value is not None, signal
    return value


async def test_images_like_the_reference_move_no_index(tmp_path: Path) -> None:
    add_described_version(tmp_path)
    async with serving(tmp_path) as world:
        await classify(world, noise(256, seed=2))

        for signal in ("classes", "confidence", *BRIGHTNESS):
            assert index(world, signal) < 0.1
        assert world.count("drift_window_images", model="cifar10", version="1") == 256


async def test_darkened_images_raise_the_index_of_brightness_and_of_nothing_else(
    tmp_path: Path,
) -> None:
    add_described_version(tmp_path)
    async with serving(tmp_path) as world:
        await classify(world, noise(256, seed=2) // 2)

        for signal in BRIGHTNESS:
            assert index(world, signal) > 1
        for signal in ("classes", "confidence"):
            assert index(world, signal) < 0.1
        text = (await world.client.get("/metrics")).text
        assert "# TYPE keraserve_population_stability_index gauge" in text
        assert 'keraserve_drift_window_channel_mean{channel="red",model="cifar10"' in text


async def test_lone_images_are_observed_too(world: World) -> None:
    await world.classify()
    await world.classify(b"no image")

    assert world.count("drift_window_images", model="cifar10", version="1") == 1
    assert world.count("drift_window_pixel_images", model="cifar10", version="1") == 1


async def test_window_of_0_exports_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, drift_window=0) as world:
        await world.classify()

        text = (await world.client.get("/metrics")).text
        assert "\nkeraserve_drift_" not in text
        assert 'keraserve_images_total{model="cifar10",outcome="ok",version="1"} 1.0' in text


async def test_window_ends_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    async with serving(tmp_path / "store", store_poll_interval_s=0.05, keep_warm_s=0) as world:
        await world.classify()
        aside = add_version(tmp_path / "aside", version=2)
        aside.rename(tmp_path / "store" / "cifar10" / "2")
        await until(lambda: has_ended(world, 1))

        registry = world.lifecycle.metrics.registry
        name = "keraserve_drift_window_images"
        old, new = (
            registry.get_sample_value(name, {"model": "cifar10", "version": version})
            for version in ("1", "2")
        )
        assert (old, new) == (None, 0)


async def test_window_ends_with_its_version_even_if_the_engine_fails_to_close(
    tmp_path: Path,
) -> None:
    def fail() -> None:
        raise RuntimeError("the device is gone")

    (tmp_path / "store").mkdir()
    async with serving(tmp_path / "store", store_poll_interval_s=0.05, keep_warm_s=0) as world:
        await world.classify()
        world.puppets["cifar10:1"].on_close = fail
        aside = add_version(tmp_path / "aside", version=2)
        aside.rename(tmp_path / "store" / "cifar10" / "2")
        await until(lambda: has_failed(world, 1))

        text = (await world.client.get("/metrics")).text
        names = ("keraserve_drift_", "keraserve_model_info")
        series = [line for line in text.splitlines() if line.startswith(names)]
        assert any('version="2"' in line for line in series)
        assert [line for line in series if 'version="1"' in line] == []
