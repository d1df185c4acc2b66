from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.artifacts.manifest import read_manifest
from app.artifacts.statistics import Distribution, ReferenceStatistics, images_needed
from app.errors import ArtifactError
from tests.factories.statistics import make_statistics, tenths
from tests.factories.versions import edit_manifest, make_manifest, make_version


def test_version_without_statistics_is_one_that_older_servers_read(tmp_path: Path) -> None:
    folder = make_version(tmp_path)

    document = json.loads((folder / "manifest.json").read_text())

    assert not {"statistics", "republished_from"} & document.keys(), "they refuse unknown names"
    assert read_manifest(folder).statistics is None
    assert {"commit": None}.items() <= document["training"].items(), "of old, and empty"


def test_fields_of_newer_servers_are_written_where_there_is_something_in_them(
    tmp_path: Path,
) -> None:
    folder = make_version(tmp_path, statistics=make_statistics(), republished_from=1)

    document = json.loads((folder / "manifest.json").read_text())

    assert document["republished_from"] == 1
    assert document["statistics"]["images"] == 5000
    assert read_manifest(folder).statistics == make_statistics()


def test_statistics_come_back_from_the_manifest_bit_by_bit(tmp_path: Path) -> None:
    statistics = make_statistics(class_shares=(0.1, 0.2, 0.7), channel_means=(1 / 3, 2 / 3, 200.1))
    folder = make_version(tmp_path)
    edit_manifest(folder, statistics=statistics.model_dump(mode="json"))

    assert read_manifest(folder).statistics == statistics


@pytest.mark.parametrize(
    ("statistics", "complaint"),
    [
        pytest.param(
            make_statistics(classes=4), "class_shares has 4 values, must have 3", id="other classes"
        ),
        pytest.param(
            make_statistics(channels=1),
            "channel_means has 1 values, must have 3",
            id="other channels",
        ),
        pytest.param(
            make_statistics(image_means=(tenths(0, 255),)),
            "image_means has 1 values, must have 3",
            id="brightness of one channel of three",
        ),
    ],
)
def test_statistics_of_another_network_are_refused(
    tmp_path: Path, statistics: ReferenceStatistics, complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make_manifest(statistics=statistics)
    folder = make_version(tmp_path)
    edit_manifest(folder, statistics=statistics.model_dump(mode="json"))

    with pytest.raises(ArtifactError, match=complaint):
        read_manifest(folder)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"class_shares": (0.5, 0.4, 0.2)}, id="shares above 1"),
        pytest.param({"class_shares": (1.5, -0.5, 0.0)}, id="a negative share"),
        pytest.param({"class_shares": (float("nan"), 0.5, 0.5)}, id="no number"),
        pytest.param({"images": 0}, id="no image"),
        pytest.param({"mean_confidence": 1.01}, id="surer than sure"),
        pytest.param({"channel_means": (300.0, 1.0, 1.0)}, id="brighter than white"),
        pytest.param({"surprise": 1}, id="an unknown name"),
    ],
)
def test_impossible_figures_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_statistics(**changes)


@pytest.mark.parametrize(
    ("edges", "shares"),
    [
        pytest.param((), (1.0,), id="one bin tells nothing"),
        pytest.param((1.0, 1.0), (0.5, 0.0, 0.5), id="a bin without width"),
        pytest.param((2.0, 1.0), (0.5, 0.0, 0.5), id="falling edges"),
        pytest.param((1.0,), (1.0,), id="a bin without share"),
        pytest.param((1.0,), (0.5, 0.4), id="shares below 1"),
        pytest.param((float("nan"),), (0.5, 0.5, 0.0), id="no number"),
        pytest.param(tuple(map(float, range(10))), (0.1,) * 10 + (0.0,), id="eleven bins"),
    ],
)
def test_distribution_without_sense_is_refused(
    edges: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    with pytest.raises(ValidationError):
        Distribution(edges=edges, shares=shares)


@pytest.mark.parametrize(("bins", "images"), [(2, 200), (10, 200), (40, 200), (1000, 5000)])
def test_five_images_are_needed_for_each_bin_and_two_hundred_in_all(bins: int, images: int) -> None:
    assert images_needed(bins) == images


def test_shares_of_the_classes_may_be_unknown() -> None:
    statistics = make_statistics(source="samples", class_shares=None)

    assert make_manifest(statistics=statistics).statistics == statistics
    assert [signal.name for signal in statistics.signals] == ["confidence", "red", "green", "blue"]
