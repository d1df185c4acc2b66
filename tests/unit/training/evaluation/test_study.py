from __future__ import annotations

import numpy as np
import pytest

from app.types import ImageArray, InputSpec, ScoreArray
from tests.factories.studies import make_study, stripe_classifier, striped_dataset
from training.data.dataset import Dataset, Split
from training.evaluation.confidence import MAX_TRAIN_IMAGES
from training.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from training.evaluation.study import (
    MAX_CORRUPTED_IMAGES,
    MAX_EXAMPLES,
    Study,
    study_network,
)

NAMES = ("ash", "birch", "cedar", "douglas fir", "elm", "fig")


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(NAMES)


def test_accuracies_are_those_of_the_images_as_they_are(study: Study) -> None:
    # every eighth label of each part is wrong, and the classifier is never
    assert study.evaluation.accuracy == pytest.approx(7 / 8)
    assert study.validation_accuracy == pytest.approx(7 / 8)
    assert study.train_accuracy == pytest.approx(7 / 8)


def test_metrics_have_the_names_that_manifests_use(study: Study) -> None:
    assert set(study.metrics) == {
        "test_accuracy",
        "test_top5_accuracy",
        "test_loss",
        "test_expected_calibration_error",
        "test_expected_calibration_error_unscaled",
        "validation_accuracy",
        "train_accuracy",
        "corrupted_accuracy",
        "images_per_s",
    }
    assert all(np.isfinite(list(study.metrics.values())))


def test_calibration_error_is_told_after_scaling_and_before(study: Study) -> None:
    metrics = study.metrics
    after, before = (
        metrics["test_expected_calibration_error"],
        metrics["test_expected_calibration_error_unscaled"],
    )

    assert study.calibration.method == "temperature_scaling"
    assert study.calibration.temperature == study.temperature != 1
    assert after == study.evaluation.expected_calibration_error
    assert before == study.uncalibrated.expected_calibration_error > after


def test_temperature_comes_from_validation_images_and_never_from_test_images() -> None:
    dataset = striped_dataset(NAMES)
    shuffled = Split(dataset.test.images, np.roll(dataset.test.labels, 1))
    other = Dataset(
        "stripes", NAMES, dataset.spec, dataset.train, dataset.validation, shuffled, "sha256:0"
    )
    execute = stripe_classifier(len(NAMES))

    first, second = (study_network(execute, part, pictures=False) for part in (dataset, other))

    assert first.temperature == second.temperature
    assert first.evaluation.accuracy != second.evaluation.accuracy


def test_given_temperature_is_used_as_it_is() -> None:
    study = study_network(
        stripe_classifier(len(NAMES)), striped_dataset(NAMES), pictures=False, temperature=1.0
    )

    assert study.temperature == 1.0
    assert study.calibration.method == "none"
    assert study.evaluation.metrics == study.uncalibrated.metrics


def test_too_few_validation_images_leave_probabilities_alone() -> None:
    dataset = striped_dataset(NAMES, images=36)

    study = study_network(stripe_classifier(len(NAMES)), dataset, pictures=False)

    assert study.calibration.model_dump() == {"temperature": 1.0, "method": "none"}


def test_robustness_has_every_corruption_at_every_severity(study: Study) -> None:
    assert [(score.corruption, score.severity) for score in study.robustness] == [
        (corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES
    ]
    mean = np.mean([score.accuracy for score in study.robustness])
    assert study.corrupted_accuracy == study.metrics["corrupted_accuracy"] == pytest.approx(mean)
    assert study.corrupted_accuracy < study.clean_accuracy


def test_mistakes_are_wrong_and_the_surest_comes_first(study: Study) -> None:
    mistakes = study.mistakes
    assert mistakes is not None

    assert len(mistakes) == 24
    assert np.all(mistakes.scores.argmax(axis=1) != mistakes.labels)
    surest = mistakes.scores.max(axis=1)
    assert np.all(np.diff(surest) <= 0)
    wrong = study.counts.test - round(study.evaluation.accuracy * study.counts.test)
    assert wrong > 24  # so that there was a choice


def test_examples_show_six_images_of_each_class_in_order(study: Study) -> None:
    examples = study.examples
    assert examples is not None

    assert examples.labels.tolist() == sorted(list(range(len(NAMES))) * 6)


def test_no_image_leaves_a_study_without_pictures() -> None:
    study = make_study(NAMES, pictures=False)

    assert (study.examples, study.mistakes) == (None, None)


def test_examples_of_very_many_classes_fit_on_a_page() -> None:
    names = tuple(f"class {number}" for number in range(150))
    dataset = striped_dataset(names, images=150)

    study = study_network(stripe_classifier(150), dataset, pictures=True)

    assert study.examples is not None
    assert len(study.examples) <= MAX_EXAMPLES
    assert study.examples.labels.min() < 5  # spread over all of them
    assert study.examples.labels.max() > 145


def test_large_parts_are_sampled_evenly_and_the_study_says_so() -> None:
    def part(count: int) -> Split:
        # the first class is ten times as frequent as the other
        labels = (np.arange(count) % 11 == 0).astype(np.int64)
        return Split(np.repeat(labels[:, None, None, None] * 200, 8, 2).astype(np.uint8), labels)

    def execute(images: ImageArray) -> ScoreArray:
        bright = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)

    dataset = Dataset(
        "two", ("a", "b"), InputSpec(1, 8, 1), part(10_100), part(600), part(2_050), "sha256:0"
    )

    study = study_network(execute, dataset, pictures=False)

    assert study.counts.train == MAX_TRAIN_IMAGES
    assert study.counts.corrupted == MAX_CORRUPTED_IMAGES
    assert (study.counts.validation, study.counts.test) == (600, 2_050)


def test_classification_report_is_the_table_of_scikit_learn(study: Study) -> None:
    lines = study.classification_report.splitlines()

    assert lines[0].split() == ["precision", "recall", "f1-score", "support"]
    assert any(line.strip().startswith("douglas fir") for line in lines)
    assert [line.split()[0] for line in lines[-3:]] == ["accuracy", "macro", "weighted"]


def test_speed_is_measured_in_full_batches_even_of_few_images() -> None:
    sizes: list[int] = []
    classify = stripe_classifier(len(NAMES))

    def execute(images: ImageArray) -> ScoreArray:
        sizes.append(len(images))
        return classify(images)

    study = study_network(execute, striped_dataset(NAMES, images=12), pictures=False)

    assert set(sizes) == {256}
    assert study.images_per_s > 0
