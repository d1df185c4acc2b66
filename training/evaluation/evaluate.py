"""Judges a network by its probabilities for the test images; needs no Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from app.types import ImageArray, ScoreArray

BATCH_SIZE = 256
"""Images per execution: the activations of the CIFAR-10 network take 0.2 GB then, and larger
batches are no faster on a CPU."""

CALIBRATION_BINS = 15
"""As in Guo et al. 2017, so that the figures can be compared with published ones."""

TOP_K = 5

_SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands for a probability of 0 in the loss, which would be infinite."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How one class fares; all but ``support`` are 0..1.

    Attributes:
        label: Name of the class.
        precision: Share of the images given this class that belong to it.
        recall: Share of the images of this class that were given it.
        f1: Harmonic mean of the two.
        support: Test images of this class.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The images whose highest probability lies in (lower, upper].

    Attributes:
        lower: Left end, 0..1.
        upper: Right end, 0..1.
        confidence: Mean of the highest probability; 0 in an empty bin.
        accuracy: Share that is right; 0 in an empty bin.
        count: Images in the bin.
    """

    lower: float
    upper: float
    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the test set says about a network.

    Attributes:
        accuracy: Share of images whose most probable class is right.
        top5_accuracy: Share whose class is among the five most probable ones (all, if fewer).
        loss: Mean cross-entropy, nats.
        expected_calibration_error: Mean distance between confidence and accuracy over the bins,
            weighted by their images.
        classes: One record per class, by class id.
        confusion: ``(K, K)`` int64; rows are the actual, columns the predicted classes.
        bins: The reliability diagram behind ``expected_calibration_error``.
    """

    accuracy: float
    top5_accuracy: float
    loss: float
    expected_calibration_error: float
    classes: tuple[ClassScores, ...]
    confusion: NDArray[np.int64]
    bins: tuple[CalibrationBin, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the whole set, under the names that manifests use."""
        return {
            "test_accuracy": self.accuracy,
            "test_top5_accuracy": self.top5_accuracy,
            "test_loss": self.loss,
            "test_expected_calibration_error": self.expected_calibration_error,
        }


def probabilities(
    execute: Callable[[ImageArray], ScoreArray], images: ImageArray, *, batch_size: int = BATCH_SIZE
) -> ScoreArray:
    """Run a network over any number of images in batches of one fixed size.

    One size means one compiled function, and the same arithmetic for an image wherever it stands.
    The last batch is filled with black images, whose rows are cut off again.

    Args:
        execute: ``(batch_size, H, W, C)`` uint8 to ``(batch_size, K)`` float32.
        images: ``(N, H, W, C)`` uint8, 0..255, N at least 1.
        batch_size: Images per execution.

    Returns:
        ``(N, K)`` float32.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        missing = batch_size - len(batch)
        if missing:
            batch = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
        parts.append(execute(batch)[: batch_size - missing])
    return np.concatenate(parts)


def evaluate(
    scores: ScoreArray, labels: NDArray[np.int64], class_names: tuple[str, ...]
) -> Evaluation:
    """Compare probabilities with the classes that the data set gives.

    Args:
        scores: ``(N, K)`` float32, rows sum to 1.
        labels: ``(N,)`` class ids.
        class_names: K names.
    """
    predicted = scores.argmax(axis=1)  # (N,)
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]  # (N, min(5, K))
    accuracy, loss = accuracy_and_loss(scores, labels)
    bins = calibration_bins(scores.max(axis=1), predicted == labels)
    return Evaluation(
        accuracy=accuracy,
        top5_accuracy=float(np.mean((ranked == labels[:, None]).any(axis=1))),
        loss=loss,
        expected_calibration_error=expected_calibration_error(bins),
        classes=_class_scores(labels, predicted, class_names),
        confusion=confusion_matrix(labels, predicted, labels=range(len(class_names))),
        bins=bins,
    )


def average_scores(classes: tuple[ClassScores, ...]) -> tuple[ClassScores, ClassScores]:
    """Return the averages over the classes as scikit-learn's ``classification_report`` has them.

    Returns:
        The macro average, in which each class counts once, and the weighted one, in which it
        counts by its images.
    """
    supports = [scores.support for scores in classes]
    table = np.array([(scores.precision, scores.recall, scores.f1) for scores in classes])  # (K, 3)
    return (
        _average("macro average", table.mean(axis=0), sum(supports)),
        _average("weighted average", np.average(table, axis=0, weights=supports), sum(supports)),
    )


def accuracy_and_loss(scores: ScoreArray, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the share of images classified rightly, and the mean cross-entropy in nats.

    Args:
        scores: ``(N, K)`` float32, rows sum to 1.
        labels: ``(N,)`` class ids.
    """
    chosen = scores[np.arange(len(labels)), labels].astype(np.float64)  # (N,)
    return (
        float(np.mean(scores.argmax(axis=1) == labels)),
        float(np.mean(-np.log(np.maximum(chosen, _SMALLEST)))),
    )


def calibration_bins(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_]
) -> tuple[CalibrationBin, ...]:
    """Sort images into ``CALIBRATION_BINS`` bins of equal width by their highest probability.

    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks.
    ICML 2017, section 2.

    Args:
        confidences: ``(N,)`` 0..1.
        correct: ``(N,)`` whether the most probable class is right.
    """
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    index = np.digitize(confidences, edges[1:-1], right=True)  # (N,) 0..bins-1; (lower, upper]
    bins = []
    for number in range(CALIBRATION_BINS):
        inside = index == number
        count = int(inside.sum())
        bins.append(
            CalibrationBin(
                lower=float(edges[number]),
                upper=float(edges[number + 1]),
                confidence=float(confidences[inside].mean(dtype=np.float64)) if count else 0.0,
                accuracy=float(correct[inside].mean()) if count else 0.0,
                count=count,
            )
        )
    return tuple(bins)


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Return the mean of |confidence - accuracy| over the bins, weighted by their images."""
    total = sum(part.count for part in bins)
    return sum(part.count * abs(part.confidence - part.accuracy) for part in bins) / total


def _class_scores(
    labels: NDArray[np.int64], predicted: NDArray[np.intp], class_names: tuple[str, ...]
) -> tuple[ClassScores, ...]:
    columns = precision_recall_fscore_support(
        labels,
        predicted,
        labels=range(len(class_names)),
        zero_division=0.0,  # a class that is never predicted has no precision: 0 and no warning
    )
    return tuple(
        ClassScores(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(class_names, *columns, strict=True)
    )


def _average(name: str, means: NDArray[np.float64], support: int) -> ClassScores:
    precision, recall, f1 = (float(mean) for mean in means)
    return ClassScores(name, precision, recall, f1, support)
