from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.factories.studies import HISTORY, NAMES, OLD_HISTORY, make_study
from training.evaluation.picture_plots import mistakes_png, sample_predictions_png
from training.evaluation.plots import (
    calibration_png,
    confusion_matrix_png,
    robustness_png,
    training_curves_png,
)
from training.evaluation.study import Study
from training.fitting.run_directory import EpochRecord


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def test_pictures_are_readable_and_small_enough_to_commit(written: Path) -> None:
    for path in written.glob("*.png"):
        assert path.stat().st_size < 250_000
        assert min(size_of(path.read_bytes())) > 300


def test_equal_runs_draw_equal_pictures(written: Path, study: Study) -> None:
    again = confusion_matrix_png(study.evaluation)

    assert again == (written / "confusion_matrix.png").read_bytes()


def test_many_classes_with_long_names_still_fit_a_page(many: Study) -> None:
    names = tuple(scores.label for scores in many.evaluation.classes)
    assert many.examples is not None
    assert many.mistakes is not None

    for png in (
        confusion_matrix_png(many.evaluation),
        sample_predictions_png(many.examples, names),
        mistakes_png(many.mistakes, names),
    ):
        assert max(size_of(png)) < 2400


@pytest.mark.parametrize("length", [5, 25, 60], ids=lambda n: f"{n} letters")
def test_confusion_matrix_grows_with_the_names_of_its_classes(length: int) -> None:
    names = ("a", "b" * length)
    short = make_study(("a", "b"), pictures=False).evaluation
    long = make_study(names, pictures=False).evaluation

    grown = size_of(confusion_matrix_png(long))[0] - size_of(confusion_matrix_png(short))[0]

    assert grown > 5 * min(length, 24)  # px a letter


def test_calibration_is_drawn_twice_where_scaling_changes_it(study: Study) -> None:
    scaled = calibration_png(study.uncalibrated, study.evaluation, study.temperature)
    plain = calibration_png(study.uncalibrated, study.uncalibrated, 1.0)

    assert size_of(scaled)[0] > 1.7 * size_of(plain)[0]


@pytest.mark.parametrize(
    "history",
    [HISTORY[:1], OLD_HISTORY, HISTORY * 40],
    ids=["one epoch", "without validation", "many epochs"],
)
def test_curves_are_drawn_of_any_history(history: list[EpochRecord]) -> None:
    assert min(size_of(training_curves_png(history))) > 300


def test_curves_show_validation_where_it_was_recorded() -> None:
    assert training_curves_png(HISTORY) != training_curves_png(OLD_HISTORY)


def test_grey_images_are_drawn() -> None:
    study = make_study(NAMES, channels=1)
    assert study.mistakes is not None
    assert study.examples is not None

    assert min(size_of(mistakes_png(study.mistakes, NAMES))) > 300
    assert min(size_of(sample_predictions_png(study.examples, NAMES))) > 300


def test_robustness_is_drawn_per_corruption(study: Study) -> None:
    png = robustness_png(study.robustness, study.clean_accuracy, len(NAMES))

    assert min(size_of(png)) > 300
