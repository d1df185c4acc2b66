from __future__ import annotations

import math

import numpy as np
import pytest

from app.types import ImageArray, ScoreArray
from training.evaluation.evaluate import (
    CALIBRATION_BINS,
    average_scores,
    calibration_bins,
    evaluate,
    expected_calibration_error,
    probabilities,
)

NAMES = ("a", "b", "c")
SCORES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.0, 0.0, 1.0]], np.float32)
LABELS = np.array([0, 1, 1, 2], np.int64)


def test_accuracy_and_loss_are_those_computed_by_hand() -> None:
    evaluation = evaluate(SCORES, LABELS, NAMES)

    assert evaluation.accuracy == 0.75
    assert evaluation.loss == pytest.approx(
        -(math.log(0.7) + math.log(0.8) + math.log(0.3) + math.log(1.0)) / 4
    )


def test_precision_and_recall_of_each_class_are_those_computed_by_hand() -> None:
    first, second, third = evaluate(SCORES, LABELS, NAMES).classes

    assert (first.label, first.precision, first.recall, first.support) == ("a", 0.5, 1.0, 1)
    assert (second.precision, second.recall, second.support) == (1.0, 0.5, 2)
    assert second.f1 == pytest.approx(2 / 3)
    assert (third.precision, third.recall, third.f1, third.support) == (1.0, 1.0, 1.0, 1)


def test_macro_average_counts_classes_and_weighted_average_counts_images() -> None:
    macro, weighted = average_scores(evaluate(SCORES, LABELS, NAMES).classes)

    assert macro.recall == pytest.approx((1 + 0.5 + 1) / 3)
    assert weighted.recall == pytest.approx((1 * 1 + 0.5 * 2 + 1 * 1) / 4)
    assert (macro.support, weighted.support) == (4, 4)


def test_confusion_has_actual_classes_in_rows() -> None:
    confusion = evaluate(SCORES, LABELS, NAMES).confusion

    np.testing.assert_array_equal(confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]])


def test_class_that_is_never_predicted_has_precision_0() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)

    never = evaluate(scores, np.array([0, 1]), ("a", "b")).classes[1]

    assert (never.precision, never.recall, never.f1) == (0.0, 0.0, 0.0)


def test_certain_and_wrong_answer_has_a_finite_loss() -> None:
    scores = np.array([[1.0, 0.0]], np.float32)

    assert 80 < evaluate(scores, np.array([1]), ("a", "b")).loss < 100


def test_top5_counts_the_five_most_probable_classes() -> None:
    scores = np.tile(np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05], np.float32), (2, 1))

    evaluation = evaluate(scores, np.array([4, 5]), tuple("abcdefg"))

    assert evaluation.top5_accuracy == 0.5


def test_top5_of_three_classes_is_always_right() -> None:
    assert evaluate(SCORES, LABELS, NAMES).top5_accuracy == 1.0


def test_metrics_have_the_names_that_manifests_use() -> None:
    assert set(evaluate(SCORES, LABELS, NAMES).metrics) == {
        "test_accuracy",
        "test_top5_accuracy",
        "test_loss",
        "test_expected_calibration_error",
    }


def test_bins_are_equally_wide_and_closed_on_the_right() -> None:
    confidences = np.array([0.0, 1 / 15, 1 / 15 + 1e-6, 1.0])

    bins = calibration_bins(confidences, np.array([True, True, False, True]))

    assert len(bins) == CALIBRATION_BINS
    assert [part.count for part in bins] == [2, 1, *[0] * 12, 1]
    assert (bins[0].accuracy, bins[1].accuracy) == (1.0, 0.0)
    assert bins[-1].upper == 1.0


def test_calibration_error_weighs_bins_by_their_images() -> None:
    confidences = np.array([0.9, 0.9, 0.9, 0.5])
    correct = np.array([True, True, False, False])

    error = expected_calibration_error(calibration_bins(confidences, correct))

    assert error == pytest.approx(3 / 4 * abs(0.9 - 2 / 3) + 1 / 4 * 0.5)


def test_network_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    bins = calibration_bins(np.full(4, 0.75), np.array([True, True, True, False]))

    assert expected_calibration_error(bins) == pytest.approx(0)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9], ids=lambda n: f"{n} images")
def test_batches_have_one_size_and_filling_never_reaches_an_answer(count: int) -> None:
    sizes = []

    def execute(images: ImageArray) -> ScoreArray:
        sizes.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float32)

    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3) + 1

    scores = probabilities(execute, images, batch_size=4)

    assert set(sizes) == {4}
    np.testing.assert_array_equal(scores, images.reshape(count, -1)[:, :2])
