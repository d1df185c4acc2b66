from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.publish import write_manifest
from tests.factories.versions import make_manifest, make_version
from tests.keras.training.publishing.stand_ins import INPUT, always, publish
from training.data.dataset import Dataset
from training.publishing.predecessor import published_accuracy

pytestmark = pytest.mark.keras


def test_newest_version_is_run_on_these_test_images(dataset: Dataset, tmp_path: Path) -> None:
    recorded = {"test_accuracy": 0.99}
    publish(tmp_path, 2, always(0, 3), dataset.classes, metrics=recorded)
    publish(tmp_path, 10, always(2, 3), dataset.classes, metrics=recorded)

    accuracy = published_accuracy(tmp_path, "shapes", dataset, INPUT)

    assert accuracy == pytest.approx(np.mean(dataset.test.labels == 2))


def test_first_version_has_nothing_to_be_compared_with(dataset: Dataset, tmp_path: Path) -> None:
    assert published_accuracy(tmp_path, "shapes", dataset, INPUT) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"classes": ("a", "b", "c")}, "it has other classes"),
        ({"input": INPUT.model_copy(update={"height": 32})}, "it takes another input"),
        ({"input": INPUT.model_copy(update={"scale": 0.5})}, "it takes another input"),
    ],
    ids=["other classes", "other size", "scaled outside"],
)
def test_version_of_another_kind_is_not_compared_with_and_the_log_says_why(
    changes: dict[str, Any],
    reason: str,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(tmp_path, 1, always(0, 3), **{"classes": dataset.classes, **changes})

    assert published_accuracy(tmp_path, "shapes", dataset, INPUT) is None

    assert [vars(record)["reason"] for record in caplog.records] == [reason]


def test_version_that_cannot_be_loaded_is_not_compared_with_and_the_log_says_why(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_version(tmp_path, "shapes")  # its model.keras is some text
    manifest = make_manifest("shapes", input=INPUT, classes=dataset.classes)
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder)}))

    assert published_accuracy(tmp_path, "shapes", dataset, INPUT) is None

    (record,) = caplog.records
    assert "model.keras" in vars(record)["reason"]
