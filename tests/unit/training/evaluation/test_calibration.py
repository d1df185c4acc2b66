from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.types import ScoreArray
from training.evaluation.calibration import MIN_IMAGES, apply_temperature, fit_temperature
from training.evaluation.evaluate import evaluate

Labelled = tuple[ScoreArray, NDArray[np.int64]]
NAMES = tuple("abcdefghij")


def network_of_temperature(temperature: float, *, images: int = 4000, seed: int = 0) -> Labelled:
    """Probabilities of a network whose honest ones are those at ``temperature``."""
    rng = np.random.default_rng(seed)
    logits = 2.5 * rng.standard_normal((images, len(NAMES)))
    honest = softmax(logits)
    labels = (rng.random((images, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    return softmax(logits * temperature), np.minimum(labels, len(NAMES) - 1).astype(np.int64)


def softmax(logits: NDArray[np.float64]) -> ScoreArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def error(scores: ScoreArray, labels: NDArray[np.int64]) -> float:
    return evaluate(scores, labels, NAMES).expected_calibration_error


@pytest.mark.parametrize(
    "truth", [0.4, 0.8, 1.5, 3.0], ids=["far too shy", "shy", "over-confident", "far too sure"]
)
def test_fitted_temperature_is_the_one_that_makes_a_network_honest(truth: float) -> None:
    scores, labels = network_of_temperature(truth)

    assert fit_temperature(scores, labels) == pytest.approx(truth, rel=0.06)


@pytest.mark.parametrize("truth", [0.5, 2.0], ids=["under-confident", "over-confident"])
def test_temperature_of_validation_images_lowers_the_error_of_test_images(truth: float) -> None:
    temperature = fit_temperature(*network_of_temperature(truth, seed=1))
    scores, labels = network_of_temperature(truth, seed=2)

    assert error(scores, labels) > 0.08
    assert error(apply_temperature(scores, temperature), labels) < 0.02


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 1.3, 20.0])
def test_temperature_never_changes_the_most_probable_class(temperature: float) -> None:
    scores, _ = network_of_temperature(1.0)

    calibrated = apply_temperature(scores, temperature)

    np.testing.assert_array_equal(calibrated.argmax(axis=1), scores.argmax(axis=1))
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-6)
    assert calibrated.dtype == np.float32


def test_temperature_is_the_root_of_the_odds() -> None:
    scores = np.array([[0.8, 0.2], [0.0, 1.0], [0.5, 0.5]], np.float32)

    calibrated = apply_temperature(scores, 2.0)

    # odds 4 become odds 2; certainty and indifference stay
    expected = np.array([[2 / 3, 1 / 3], [0, 1], [0.5, 0.5]])
    np.testing.assert_allclose(calibrated, expected, atol=1e-6)


def test_temperature_1_returns_the_same_bits() -> None:
    scores, _ = network_of_temperature(1.0)

    np.testing.assert_array_equal(apply_temperature(scores, 1.0), scores)


def test_certain_answers_say_nothing_where_they_are_wrong_and_break_nothing() -> None:
    scores, labels = network_of_temperature(2.0)
    certain = np.eye(len(NAMES), dtype=np.float32)[(labels[:100] + 1) % len(NAMES)]
    mixed = np.concatenate([certain, scores]), np.concatenate([labels[:100], labels])

    assert fit_temperature(*mixed) == pytest.approx(fit_temperature(scores, labels))


def never_wrong() -> Labelled:
    labels = np.arange(100) % len(NAMES)
    return (0.05 + 0.5 * np.eye(len(NAMES))[labels]).astype(np.float32), labels


def knows_nothing() -> Labelled:
    labels = (np.arange(100) + 1) % len(NAMES)
    scores = (0.05 + 0.5 * np.eye(len(NAMES))[np.arange(100) % len(NAMES)]).astype(np.float32)
    return scores, labels


def not_a_number() -> Labelled:
    scores, labels = network_of_temperature(2.0)
    scores[7, 3] = np.nan
    return scores, labels


def only_certain() -> Labelled:
    labels = np.arange(100) % len(NAMES)
    return np.eye(len(NAMES), dtype=np.float32)[labels], labels


@pytest.mark.parametrize(
    "labelled",
    [
        pytest.param(
            network_of_temperature(2.0, images=MIN_IMAGES - 1), id="too few validation images"
        ),
        pytest.param(never_wrong(), id="no mistake, so the optimum is at 0"),
        pytest.param(knows_nothing(), id="always wrong, so the optimum is at infinity"),
        pytest.param(not_a_number(), id="a score is NaN"),
        pytest.param(only_certain(), id="probabilities of 0 and 1 only"),
    ],
)
def test_no_temperature_is_fitted_where_there_is_nothing_to_fit(labelled: Labelled) -> None:
    assert fit_temperature(*labelled) == 1.0
