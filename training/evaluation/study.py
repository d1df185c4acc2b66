"""Measures all there is to know about one network before somebody trusts it; needs no Keras."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report

from app.artifacts.manifest import Calibration
from app.types import ImageArray, ScoreArray
from training.data.dataset import Dataset, Split
from training.evaluation.calibration import apply_temperature, fit_temperature
from training.evaluation.confidence import Confidences, judged_train_images, top_scores
from training.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from training.evaluation.evaluate import BATCH_SIZE, Evaluation, evaluate, probabilities
from training.publishing.samples import balanced_rows

logger = logging.getLogger(__name__)

Execute = Callable[[ImageArray], ScoreArray]
"""``(N, H, W, C)`` uint8, 0..255, to ``(N, K)`` float32, rows sum to 1."""

MAX_CORRUPTED_IMAGES = 2_000
"""Each is classified twelve times, once per corruption and severity."""

MAX_MISTAKES = 24
EXAMPLES_PER_CLASS = 6
MAX_EXAMPLES = 60
"""What fits on a page: six of each of ten classes."""

SPEED_BATCHES, SPEED_BUDGET_S = 30, 5.0
"""Of the batches that throughput is measured by: how many, unless the time is over before. Two
cores do some twenty of the CIFAR-10 network, one of a network that does 50 images per second."""


@dataclass(frozen=True, slots=True)
class CorruptionScore:
    """How the network fares on corrupted test images.

    Attributes:
        corruption: One of ``corruptions.CORRUPTIONS``.
        severity: One of ``corruptions.SEVERITIES``.
        accuracy: Share of the images that are classified rightly.
    """

    corruption: str
    severity: int
    accuracy: float


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Test images to show; only for versions that may carry their data set.

    Attributes:
        images: ``(N, H, W, C)`` uint8.
        labels: ``(N,)`` class ids.
        scores: ``(N, K)`` probabilities, as served.
    """

    images: ImageArray
    labels: NDArray[np.int64]
    scores: ScoreArray

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """How many images each figure rests on.

    Attributes:
        train: Behind ``train_accuracy``: ``judged_train_images``.
        validation: Behind ``validation_accuracy`` and the temperature.
        test: Behind ``evaluation``.
        corrupted: Behind ``robustness`` and ``clean_accuracy``; of more test images than
            ``MAX_CORRUPTED_IMAGES``, the same.
    """

    train: int
    validation: int
    test: int
    corrupted: int


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What is known about a network.

    Attributes:
        evaluation: Of the test images, as the service will answer: with the temperature.
        uncalibrated: The same without it.
        temperature: Divides the logarithms of the probabilities; 1 leaves them alone.
        train_accuracy: On training images as they are: no augmentation, no dropout.
        validation_accuracy: On validation images as they are.
        clean_accuracy: On the test images that are corrupted, before they are.
        robustness: One record per corruption and severity.
        images_per_s: Throughput in batches of ``BATCH_SIZE``.
        counts: How many images each figure rests on.
        classification_report: The table of scikit-learn, as text.
        confidences: How sure it is of training and validation images.
        examples: Test images with what the network says, sorted by class; None if no pictures
            are wanted.
        mistakes: The most confident mistakes, the surest first; None if no pictures are wanted.
    """

    evaluation: Evaluation
    uncalibrated: Evaluation
    temperature: float
    train_accuracy: float
    validation_accuracy: float
    clean_accuracy: float
    robustness: tuple[CorruptionScore, ...]
    images_per_s: float
    counts: ImageCounts
    classification_report: str
    confidences: Confidences
    examples: Examples | None = None
    mistakes: Examples | None = None

    @property
    def calibration(self) -> Calibration:
        """What the service has to know of the temperature."""
        return Calibration(
            temperature=self.temperature,
            method="none" if self.temperature == 1.0 else "temperature_scaling",
        )

    @property
    def corrupted_accuracy(self) -> float:
        """Mean over all corruptions and severities."""
        return statistics.fmean(score.accuracy for score in self.robustness)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the whole network, under the names that manifests use."""
        unscaled = self.uncalibrated.expected_calibration_error
        return {
            **self.evaluation.metrics,
            "test_expected_calibration_error_unscaled": unscaled,
            "validation_accuracy": self.validation_accuracy,
            "train_accuracy": self.train_accuracy,
            "corrupted_accuracy": self.corrupted_accuracy,
            "images_per_s": self.images_per_s,
        }


def study_network(
    execute: Execute, dataset: Dataset, *, pictures: bool, temperature: float | None = None
) -> Study:
    """Measure a network.

    Args:
        execute: The network; without any temperature.
        dataset: Its images. The temperature is fitted on the validation part.
        pictures: Whether images of the data set may be shown.
        temperature: The one that the network is served with; None fits it.
    """
    test = dataset.test
    train = judged_train_images(dataset)
    corrupted = test.take(balanced_rows(test.labels, MAX_CORRUPTED_IMAGES))
    counts = ImageCounts(len(train), len(dataset.validation), len(test), len(corrupted))
    logger.info("studying the network", extra={"test_images": counts.test})
    validation_scores = probabilities(execute, dataset.validation.images)  # (N, K)
    if temperature is None:
        temperature = fit_temperature(validation_scores, dataset.validation.labels)
    train_scores = probabilities(execute, train.images)
    raw = probabilities(execute, test.images)
    scores = apply_temperature(raw, temperature)
    images_per_s = measure_speed(execute, test.images)
    logger.info("studying its robustness", extra={"images": counts.corrupted})
    return Study(
        evaluation=evaluate(scores, test.labels, dataset.classes),
        uncalibrated=evaluate(raw, test.labels, dataset.classes),
        temperature=temperature,
        train_accuracy=_right(train_scores, train.labels),
        validation_accuracy=_right(validation_scores, dataset.validation.labels),
        clean_accuracy=_accuracy(execute, corrupted),
        robustness=_robustness(execute, corrupted),
        images_per_s=images_per_s,
        counts=counts,
        classification_report=_text_table(scores, test.labels, dataset.classes),
        confidences=Confidences(
            top_scores(train_scores, temperature), top_scores(validation_scores, temperature)
        ),
        examples=_examples(test, scores, len(dataset.classes)) if pictures else None,
        mistakes=_mistakes(test, scores) if pictures else None,
    )


def measure_speed(execute: Execute, images: ImageArray) -> float:
    """Return images per second, by the median over batches of ``BATCH_SIZE``.

    Args:
        execute: The network.
        images: ``(N, H, W, C)`` uint8, N at least 1; taken again and again if they are few.
    """

    def batch(number: int) -> ImageArray:
        return images[np.arange(number * BATCH_SIZE, (number + 1) * BATCH_SIZE) % len(images)]

    execute(batch(0))  # the first one compiles
    durations: list[float] = []
    while len(durations) < SPEED_BATCHES and sum(durations) < SPEED_BUDGET_S:
        taken = batch(len(durations))
        start = time.perf_counter()
        execute(taken)
        durations.append(time.perf_counter() - start)
    return BATCH_SIZE / max(statistics.median(durations), 1e-9)  # a clock may stand still


def _robustness(execute: Execute, split: Split) -> tuple[CorruptionScore, ...]:
    return tuple(
        CorruptionScore(
            corruption,
            severity,
            _accuracy(execute, Split(corrupt(split.images, corruption, severity), split.labels)),
        )
        for corruption in CORRUPTIONS
        for severity in SEVERITIES
    )


def _accuracy(execute: Execute, split: Split) -> float:
    return _right(probabilities(execute, split.images), split.labels)


def _right(scores: ScoreArray, labels: NDArray[np.int64]) -> float:
    return float(np.mean(scores.argmax(axis=1) == labels))


def _text_table(scores: ScoreArray, labels: NDArray[np.int64], class_names: tuple[str, ...]) -> str:
    table: str = classification_report(
        labels,
        scores.argmax(axis=1),
        labels=range(len(class_names)),
        target_names=class_names,
        digits=4,
        zero_division=0.0,
    )
    return table


def _examples(test: Split, scores: ScoreArray, classes: int) -> Examples:
    """Choose equally many images of each class; with very many classes, of some of them."""
    shown = np.unique(np.linspace(0, classes - 1, min(classes, MAX_EXAMPLES)).round())
    rows = np.flatnonzero(np.isin(test.labels, shown))  # of the classes that are shown
    columns = max(1, min(EXAMPLES_PER_CLASS, MAX_EXAMPLES // classes))
    rows = rows[balanced_rows(test.labels[rows], columns * len(shown))]
    rows = rows[np.argsort(test.labels[rows], kind="stable")]
    return Examples(test.images[rows], test.labels[rows], scores[rows])


def _mistakes(test: Split, scores: ScoreArray) -> Examples:
    wrong = np.flatnonzero(scores.argmax(axis=1) != test.labels)
    surest = np.argsort(-scores[wrong].max(axis=1), kind="stable")[:MAX_MISTAKES]
    rows = wrong[surest]
    return Examples(test.images[rows], test.labels[rows], scores[rows])
