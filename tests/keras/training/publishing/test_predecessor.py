from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.publish import write_manifest
from tests.factories.versions import make_manifest, make_version
from tests.keras.training.publishing.stand_ins import INPUT, always, publish
from training.config import RunConfig
from training.data.dataset import Dataset
from training.publishing.predecessor import published_accuracy

pytestmark = pytest.mark.keras


def test_newest_version_is_run_on_these_test_images(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    recorded = {"test_accuracy": 0.99}
    publish(tmp_path, 2, always(0, 3), dataset.classes, metrics=recorded)
    publish(tmp_path, 10, always(2, 3), dataset.classes, metrics=recorded)

    accuracy = published_accuracy(tmp_path, config, dataset, INPUT)

    assert accuracy == pytest.approx(np.mean(dataset.test.labels == 2))


def test_first_version_has_nothing_to_be_compared_with(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    assert published_accuracy(tmp_path, config, dataset, INPUT) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"classes": ("a", "b", "c")},
            "it knows the classes a, b, c; the images are of bar, column, dot",
        ),
        (
            {"input": INPUT.model_copy(update={"height": 32})},
            "it takes another input: height 32 instead of 28",
        ),
        (
            {"input": INPUT.model_copy(update={"scale": 0.5})},
            "it takes another input: scale 0.5 instead of 1.0",
        ),
    ],
    ids=["other classes", "other size", "scaled outside"],
)
def test_version_of_another_kind_is_not_compared_with_and_the_log_says_why(
    changes: dict[str, Any],
    reason: str,
    config: RunConfig,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(tmp_path, 1, always(0, 3), **{"classes": dataset.classes, **changes})

    assert published_accuracy(tmp_path, config, dataset, INPUT) is None

    assert [vars(record)["reason"] for record in caplog.records] == [reason]


def test_version_that_cannot_be_loaded_is_not_compared_with_and_the_log_says_why(
    config: RunConfig, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_version(tmp_path, "shapes")  # its model.keras is some text
    manifest = make_manifest("shapes", input=INPUT, classes=dataset.classes)
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder)}))

    assert published_accuracy(tmp_path, config, dataset, INPUT) is None

    (record,) = caplog.records
    assert "model.keras" in vars(record)["reason"]


def test_older_version_stands_in_for_one_that_cannot_be_loaded(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    publish(tmp_path, 1, always(1, 3), dataset.classes)
    newest = publish(tmp_path, 2, always(0, 3), dataset.classes)
    (newest / "model.keras").write_bytes(b"damaged")

    accuracy = published_accuracy(tmp_path, config, dataset, INPUT)

    assert accuracy == pytest.approx(np.mean(dataset.test.labels == 1))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"seed": 9}, "it was trained with fit.seed = 9, this run has 3"),
        ({"dataset_fingerprint": "sha256:0"}, "it was trained on other images"),
        ({"config": {"data": {"test_share": 0.3, "validation_share": 0.1}}}, "data.test_share"),
    ],
    ids=["same division", "other seed", "other images", "other share"],
)
def test_version_that_may_have_learnt_from_the_test_images_is_not_compared_with(
    changes: dict[str, Any],
    reason: str | None,
    config: RunConfig,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without_parts = replace(dataset, split_off=("validation", "test"))
    facts = {
        "dataset_fingerprint": dataset.fingerprint,
        "config": config.model_dump(mode="json"),
        "seed": config.fit.seed,
    }
    record = make_manifest().training.model_copy(update=facts | changes)
    publish(tmp_path, 1, always(0, 3), dataset.classes, training=record)

    accuracy = published_accuracy(tmp_path, config, without_parts, INPUT)

    assert (accuracy is None) == (reason is not None)
    if reason is not None:
        (line,) = caplog.records
        assert "it may have learnt from these test images: " in vars(line)["reason"]
        assert reason in vars(line)["reason"]
