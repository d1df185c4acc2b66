from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.manifest import Calibration, TrainingRecord
from tests.factories.versions import make_manifest
from tests.keras.training.conftest import changed
from tests.keras.training.publishing.stand_ins import INPUT, always, publish
from training.config import RunConfig
from training.config_file import ConfigError
from training.data.dataset import Dataset
from training.evaluation.evaluate import probabilities
from training.fitting.run_directory import RunDirectory
from training.fitting.train import fit
from training.keras_networks import executable
from training.publishing.teacher import load_teacher

pytestmark = pytest.mark.keras


@pytest.fixture
def taught(config: RunConfig) -> RunConfig:
    return changed(config, distillation={"teacher": "shapes:1", "share": 1.0})


def record(config: RunConfig, learnt: Dataset, **changes: Any) -> TrainingRecord:
    """What a teacher trained on the same images as the student says of itself."""
    facts = {
        "dataset": learnt.name,
        "dataset_fingerprint": learnt.fingerprint,
        "config": config.model_dump(mode="json", exclude_none=True),
        "seed": config.fit.seed,
    }
    return make_manifest().training.model_copy(update=facts | changes)


def publish_teacher(
    models: Path, config: RunConfig, dataset: Dataset, *, says: int = 2, **changes: Any
) -> Path:
    settings = {"classes": dataset.classes, "training": record(config, dataset), **changes}
    return publish(models, 1, always(says, 3), **settings)


def test_run_without_a_teacher_has_none(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    assert load_teacher(config, dataset, tmp_path) is None


def test_student_learns_what_the_teacher_says_and_not_what_the_classes_are(
    taught: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    publish_teacher(tmp_path, taught, dataset, says=2)
    teacher = load_teacher(taught, dataset, tmp_path)

    trained = fit(taught, dataset, RunDirectory(tmp_path / "run"), teacher=teacher)

    scores = probabilities(executable(trained.model), dataset.test.images)
    assert (scores.argmax(axis=1) == 2).all()


def test_teacher_speaks_at_its_temperature(
    taught: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    calibration = Calibration(temperature=5.0, method="temperature_scaling")
    publish_teacher(tmp_path, taught, dataset, calibration=calibration)
    teacher = load_teacher(taught, dataset, tmp_path)
    assert teacher is not None

    scores = teacher.execute(dataset.test.images[:4])

    # The classes of a network that always says 5 · (0, 0, 1) before its softmax, at 5 of them.
    expected = np.exp([0, 0, 1]) / np.exp([0, 0, 1]).sum()
    np.testing.assert_allclose(scores, np.tile(expected, (4, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": ("a", "b", "c")},
            "it knows the classes a, b, c; the images are of bar, column, dot",
        ),
        (
            {"input": INPUT.model_copy(update={"height": 32})},
            "it takes another input: height 32 instead of 28",
        ),
    ],
    ids=["other classes", "other size"],
)
def test_teacher_of_something_else_is_refused(
    changes: dict[str, Any], message: str, taught: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    publish_teacher(tmp_path, taught, dataset, **changes)

    with pytest.raises(ConfigError, match=f"distillation.teacher is shapes:1: {message}"):
        load_teacher(taught, dataset, tmp_path)


def test_teacher_that_is_not_there_is_answered_with_what_is(
    config: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    publish_teacher(tmp_path, config, dataset)
    wrong = changed(config, distillation={"teacher": "shapes:4"})

    with pytest.raises(ConfigError, match="has no such version, but shapes:1"):
        load_teacher(wrong, dataset, tmp_path)


def test_damaged_teacher_is_refused(taught: RunConfig, dataset: Dataset, tmp_path: Path) -> None:
    folder = publish_teacher(tmp_path, taught, dataset)
    (folder / "model.keras").write_bytes(b"damaged")

    with pytest.raises(ConfigError, match=r"distillation\.teacher is shapes:1: .*model\.keras"):
        load_teacher(taught, dataset, tmp_path)


def test_teacher_that_has_learnt_from_images_of_this_run_is_refused(
    taught: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    other = record(taught, dataset, seed=taught.fit.seed + 1)
    publish_teacher(tmp_path, taught, dataset, training=other)

    with pytest.raises(ConfigError, match=r"trained with fit\.seed = 4, this run has 3; so it may"):
        load_teacher(taught, dataset, tmp_path)


def test_another_network_under_the_teachers_name_is_refused(
    taught: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    publish_teacher(tmp_path, taught, dataset)
    pinned = changed(taught, distillation={"teacher_sha256": "0" * 64})

    with pytest.raises(
        ConfigError, match=r"its network is [0-9a-f]{64}, not distillation\.teacher"
    ):
        load_teacher(pinned, dataset, tmp_path)


def test_teacher_of_other_images_comes_with_a_warning(
    taught: RunConfig, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = record(taught, dataset, dataset="pets", dataset_fingerprint="sha256:0")
    publish_teacher(tmp_path, taught, dataset, training=other)

    assert load_teacher(taught, dataset, tmp_path) is not None

    assert any("was trained on other data" in line for line in caplog.messages)
