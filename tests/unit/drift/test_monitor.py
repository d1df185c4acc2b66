from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from app.drift.monitor import DriftMonitor
from app.drift.policy import DriftPolicy
from app.drift.window import DriftWindow
from app.types import ImageArray, ServableId
from tests.factories.statistics import make_statistics
from tests.factories.versions import make_manifest
from tests.fakes import FakeClock

CIFAR10 = ServableId("cifar10", 1)


class World:
    """A monitor with one version, and the series that Prometheus sees."""

    def __init__(self, window: int = 1000, **manifest: Any) -> None:
        self.registry = CollectorRegistry()
        policy = DriftPolicy(window, max_pixel_images_per_s=10**6)
        self.monitor = DriftMonitor(policy, self.registry, FakeClock())
        self.manifest = make_manifest(**manifest)
        self.window = self.monitor.open(CIFAR10, self.manifest)

    def observe(
        self,
        images: int,
        *,
        picture: Callable[[int], ImageArray] = lambda number: grey(number),
        classes: int = 3,
    ) -> None:
        """Answer evenly: classes, confidence and brightness as of ``make_statistics``."""
        assert self.window is not None
        for number in range(images):
            score = 0.5 + (number + 0.5) / images / 2
            self.window.observe(number % classes, score, picture(number))

    def value(self, name: str, **labels: str) -> float | None:
        labels = {"model": "cifar10", "version": "1", **labels}
        return self.registry.get_sample_value(f"keraserve_{name}", labels)

    def series(self, prefix: str = "") -> set[str]:
        return {
            sample.name.removeprefix("keraserve_")
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name.startswith(f"keraserve_{prefix}")
        }

    @property
    def indices(self) -> dict[str, float]:
        return {
            sample.labels["signal"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "keraserve_population_stability_index"
        }


def grey(number: int) -> ImageArray:
    """Brightness runs evenly through 0..255 as numbers ascend."""
    return np.full((4, 4, 3), number * 97 % 256, np.uint8)


def dark(number: int) -> ImageArray:
    return grey(number) // 3


def test_window_is_exported_in_figures() -> None:
    world = World()
    assert world.window is not None
    for class_id, score, level in ((0, 0.9, 10), (0, 0.7, 20), (2, 0.5, 60)):
        world.window.observe(class_id, score, np.full((4, 4, 3), level, np.uint8))

    assert world.value("drift_window_images") == 3
    assert world.value("drift_window_pixel_images") == 3
    assert world.value("drift_window_class_ratio", label="cat") == pytest.approx(2 / 3)
    assert world.value("drift_window_class_ratio", label="dog") == 0
    assert world.value("drift_window_confidence_ratio") == pytest.approx(0.7)
    assert world.value("drift_window_channel_mean", channel="green") == 30
    spread = world.value("drift_window_channel_spread", channel="blue")
    assert spread == pytest.approx(np.std([10, 20, 60]))


def test_reference_is_exported_beside_it() -> None:
    world = World(statistics=make_statistics(class_shares=(0.5, 0.25, 0.25)))

    assert world.value("drift_reference_class_ratio", label="cat") == 0.5
    assert world.value("drift_reference_confidence_ratio", images="training") == 0.95
    assert world.value("drift_reference_confidence_ratio", images="validation") == 0.75
    assert world.value("drift_reference_channel_mean", channel="red") == 127.5
    assert world.value("drift_reference_channel_spread", channel="blue") == 74


def test_reference_of_an_imported_version_is_of_its_samples() -> None:
    world = World(statistics=make_statistics(source="samples"))

    assert world.value("drift_reference_confidence_ratio", images="samples") == 0.95
    for images in ("training", "validation"):
        assert world.value("drift_reference_confidence_ratio", images=images) is None


def test_classes_of_which_nobody_knows_how_frequent_they_are_have_no_index() -> None:
    world = World(statistics=make_statistics(source="samples", class_shares=None))
    world.observe(1000)

    assert set(world.indices) == {"confidence", "red", "green", "blue"}
    assert max(world.indices.values()) < 0.01
    assert world.value("drift_reference_class_ratio", label="cat") is None
    assert world.value("drift_window_class_ratio", label="cat") is not None


def test_version_without_statistics_has_its_window_alone() -> None:
    world = World()
    world.observe(1000)

    assert world.series("drift_reference") == set()
    assert world.indices == {}
    assert world.value("drift_window_images") == 1000


def test_nothing_seen_is_no_figure() -> None:
    world = World()

    assert world.series() == {"drift_window_images", "drift_window_pixel_images"}
    assert world.value("drift_window_images") == 0


def test_images_like_those_of_the_training_have_no_distance() -> None:
    world = World(statistics=make_statistics())
    world.observe(1000)

    assert set(world.indices) == {"classes", "confidence", "red", "green", "blue"}
    assert max(world.indices.values()) < 0.01


def test_dark_images_are_told_by_brightness_alone() -> None:
    world = World(statistics=make_statistics())
    world.observe(1000, picture=dark)

    indices = world.indices
    assert min(indices["red"], indices["green"], indices["blue"]) > 1
    assert max(indices["classes"], indices["confidence"]) < 0.01


def test_one_class_for_all_is_told_by_the_classes_alone() -> None:
    world = World(statistics=make_statistics())
    world.observe(1000, classes=1)

    indices = world.indices
    assert indices.pop("classes") > 1
    assert max(indices.values()) < 0.01


def test_grey_network_has_one_channel() -> None:
    size = {"height": 4, "width": 4, "channels": 1}
    world = World(input=size, statistics=make_statistics(channels=1))
    world.observe(300, picture=lambda number: grey(number)[:, :, :1])

    assert set(world.indices) == {"classes", "confidence", "grey"}
    assert world.value("drift_window_channel_mean", channel="grey") is not None


@pytest.mark.parametrize(
    ("images", "reference", "expected"),
    [
        pytest.param(199, 5000, set(), id="too few seen"),
        pytest.param(200, 5000, {"classes", "confidence", "red", "green", "blue"}, id="enough"),
        pytest.param(200, 199, {"confidence"}, id="too few training images"),
    ],
)
def test_there_is_no_index_of_too_few_images(
    images: int, reference: int, expected: set[str]
) -> None:
    world = World(statistics=make_statistics(images=reference))
    world.observe(images)

    assert set(world.indices) == expected


def test_window_that_is_too_short_for_the_classes_gives_the_other_indices() -> None:
    names = tuple(f"class {number}" for number in range(100))
    statistics = make_statistics(classes=100)
    short = World(499, classes=names, statistics=statistics)
    fitting = World(500, classes=names, statistics=statistics)
    for world in (short, fitting):
        world.observe(1000, classes=100)

    assert "classes" not in short.indices
    assert "confidence" in short.indices
    assert fitting.indices["classes"] < 0.01


@pytest.mark.parametrize(
    ("window", "statistics", "expected"),
    [
        pytest.param(1000, {}, [], id="all there"),
        pytest.param(
            1000,
            {"images": 100, "class_shares": None},
            [
                "reference too small for a drift index: "
                "red (100 of 200 images), green (100 of 200 images), blue (100 of 200 images)"
            ],
            id="reference too small",
        ),
        pytest.param(
            499,
            {"classes": 100},
            ["drift window too short for an index over the classes: 500"],
            id="window too short",
        ),
        pytest.param(499, None, [], id="no reference, no index"),
    ],
)
def test_index_that_can_never_be_is_told_when_the_version_begins(
    window: int,
    statistics: dict[str, Any] | None,
    expected: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    reference = None if statistics is None else make_statistics(**statistics)
    names = tuple(f"class {number}" for number in range((statistics or {}).get("classes", 3)))

    World(window, classes=names, statistics=reference)

    told = [(record.message, vars(record)) for record in caplog.records]
    assert [f"{text}: {fields.get('signals', fields.get('needed'))}" for text, fields in told] == (
        expected
    )


def test_figures_are_computed_in_another_thread_while_versions_come_and_go() -> None:
    world = World(statistics=make_statistics())
    other = ServableId("cifar10", 2)
    collected: list[set[str]] = []
    is_enough = threading.Event()

    def collect_again_and_again() -> None:
        try:
            collected.extend(world.series() for _ in range(50))
        finally:
            is_enough.set()

    collecting = threading.Thread(target=collect_again_and_again)
    collecting.start()
    while not is_enough.is_set():
        world.monitor.open(other, world.manifest)
        world.observe(50)
        world.monitor.close(other)
    collecting.join()

    assert len(collected) == 50
    assert all("drift_window_images" in series for series in collected)


def test_series_go_with_their_version() -> None:
    world = World(statistics=make_statistics())
    other = ServableId("cifar10", 2)
    world.monitor.open(other, world.manifest)
    world.observe(300)

    world.monitor.close(CIFAR10)

    versions = {
        sample.labels["version"] for family in world.registry.collect() for sample in family.samples
    }
    assert versions == {"2"}


def test_length_0_turns_it_off() -> None:
    world = World(0, statistics=make_statistics())

    assert world.window is None
    assert world.series() == set()


def test_reloaded_version_begins_anew() -> None:
    world = World()
    world.observe(10)
    world.monitor.close(CIFAR10)

    window: DriftWindow | None = world.monitor.open(CIFAR10, world.manifest)

    assert window is not world.window
    assert world.value("drift_window_images") == 0
