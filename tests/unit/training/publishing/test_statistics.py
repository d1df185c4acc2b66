from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from app.artifacts.samples import Samples
from app.artifacts.statistics import Distribution
from app.types import ImageArray, InputSpec
from tests.factories.versions import make_manifest, make_samples
from training.data.dataset import Dataset, Split
from training.evaluation.confidence import Confidences
from training.publishing.statistics import (
    CONFIDENCE_STEP,
    distribution,
    sample_statistics,
    training_statistics,
)

IMAGES = 2345  # no multiple of what is taken at a time


def split(count: int, side: int, seed: int) -> Split:
    """Noise of many brightnesses; of four classes, the last one has no image."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    levels = random.integers(1, 5, (count, 1, 1, 1), dtype=np.uint8)
    return Split(images // levels, random.integers(0, 3, count))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    train, validation, test = (split(count, 12, count) for count in (IMAGES, 301, 302))
    return Dataset(
        "noise", ("a", "b", "c", "d"), InputSpec(12, 12, 3), train, validation, test, "sha256:0"
    )


@pytest.fixture(scope="module")
def confidences() -> Confidences:
    random = np.random.default_rng(8)
    train, validation = (random.uniform(0.25, 1, count) for count in (900, 700))
    return Confidences(train.astype(np.float32), validation.astype(np.float32))


def test_figures_are_those_of_a_plain_computation(
    dataset: Dataset, confidences: Confidences
) -> None:
    found = training_statistics(dataset, confidences)

    pixels = dataset.train.images.astype(np.float64)
    assert found.source == "training"
    assert found.images == IMAGES
    shares = [float(np.mean(dataset.train.labels == label)) for label in range(4)]
    assert found.class_shares == pytest.approx(shares)
    assert shares[3] == 0
    assert found.channel_means == pytest.approx(pixels.mean(axis=(0, 1, 2)).tolist())
    assert found.channel_spreads == pytest.approx(pixels.std(axis=(0, 1, 2)).tolist(), rel=1e-6)
    assert found.mean_confidence == pytest.approx(confidences.train.mean(), abs=1e-6)
    assert found.held_out.images == 700
    assert found.held_out.mean_confidence == pytest.approx(confidences.validation.mean(), abs=1e-6)


def test_bins_are_tenths_of_the_images_means(dataset: Dataset, confidences: Confidences) -> None:
    found = training_statistics(dataset, confidences)

    means = dataset.train.images[..., 1].astype(np.float64).mean(axis=(1, 2))
    green = found.image_means[1]
    assert green.edges == pytest.approx(np.quantile(means, np.arange(1, 10) / 10), abs=0.5)
    assert green.shares == pytest.approx([0.1] * 10, abs=0.02)
    assert found.held_out.confidence.shares == pytest.approx([0.1] * 10, abs=0.005)


def counted(values: NDArray[np.floating], edges: tuple[float, ...]) -> list[float]:
    """The share of each bin, the plain way."""
    bounds = [-np.inf, *edges, np.inf]
    return [float(np.mean((values >= low) & (values < high))) for low, high in pairwise(bounds)]


UNIFORM = np.random.default_rng(3).uniform(0, 1, 5000)


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        pytest.param(UNIFORM, 9, id="ten bins where values differ"),
        pytest.param(0.99 + UNIFORM / 100, 9, id="steps where they hardly do"),
        pytest.param(0.9999 + UNIFORM / 10_000, 1, id="one edge where it is no difference"),
        pytest.param(np.ones(500), 1, id="always sure"),
        pytest.param(np.full(500, 0.6), 2, id="always the same, with room on both sides"),
        pytest.param(np.where(UNIFORM < 0.5, 0.25, UNIFORM), 6, id="half the same"),
        pytest.param(np.zeros(500), 1, id="nothing"),
        pytest.param(np.array([0.5]), 2, id="a single image"),
    ],
)
def test_tenths_that_coincide_become_one_bin_and_shares_are_counted(
    values: NDArray[np.float64], edges: int
) -> None:
    values = values.astype(np.float32)

    found = distribution(values, step=CONFIDENCE_STEP, largest_edge=1 - CONFIDENCE_STEP)

    assert len(found.edges) == edges
    assert max(found.edges) <= 0.999
    assert found.shares == pytest.approx(counted(values, found.edges))
    assert Distribution.model_validate_json(found.model_dump_json()) == found


def test_images_without_contrast_are_described() -> None:
    def black(count: int) -> Split:
        return Split(np.zeros((count, 8, 8, 1), np.uint8), np.zeros(count, np.int64))

    dataset = Dataset(
        "night", ("a", "b"), InputSpec(8, 8, 1), black(20), black(5), black(5), "sha256:0"
    )
    sure = np.ones(5, np.float32)

    found = training_statistics(dataset, Confidences(sure, sure))

    assert (found.channel_means, found.channel_spreads) == ((0.0,), (0.0,))
    assert found.image_means[0].shares == (1.0, 0.0)
    assert found.class_shares == (1.0, 0.0)


def test_labelled_samples_describe_an_imported_version() -> None:
    samples = make_samples(make_manifest(), count=40)

    found = sample_statistics(samples)

    assert found is not None
    assert samples.labels is not None
    assert (found.source, found.images, found.held_out.images) == ("samples", 40, 40)
    assert found.class_shares == pytest.approx(np.bincount(samples.labels, minlength=3) / 40)
    assert found.mean_confidence == found.held_out.mean_confidence
    assert found.mean_confidence == pytest.approx(samples.probabilities.max(axis=1).mean())


def test_chosen_samples_tell_nothing_of_how_frequent_the_classes_are() -> None:
    samples = make_samples(make_manifest(), count=40)

    found = sample_statistics(samples, are_chosen=True)

    whole = sample_statistics(samples)
    assert whole is not None
    assert found == whole.model_copy(update={"class_shares": None})


def test_samples_without_labels_describe_nothing() -> None:
    assert sample_statistics(make_samples(make_manifest(), labelled=False)) is None


def test_probability_that_was_rounded_up_is_no_more_than_1() -> None:
    images: ImageArray = np.zeros((2, 4, 4, 3), np.uint8)
    scores = np.array([[1.0005, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)

    found = sample_statistics(Samples(images, scores, np.zeros(2, np.int64)))

    assert found is not None
    assert found.mean_confidence == 1
