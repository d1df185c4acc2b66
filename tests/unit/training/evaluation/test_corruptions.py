from __future__ import annotations

import numpy as np
import pytest

from app.types import ImageArray
from training.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt

every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS)
every_shape = pytest.mark.parametrize(
    "shape", [(32, 32, 3), (28, 28, 1), (7, 50, 3)], ids=["RGB", "grey", "not square"]
)


def textured(shape: tuple[int, int, int] = (32, 32, 3), *, count: int = 6) -> ImageArray:
    """Edges and slopes, such as photographs have."""
    rng = np.random.default_rng(0)
    images = np.empty((count, *shape), np.uint8)
    for image in images:
        image[:] = rng.integers(20, 120, shape[2])
        row, column = rng.integers(0, shape[0] // 2), rng.integers(0, shape[1] // 2)
        image[row : row + shape[0] // 3, column : column + shape[1] // 3] += np.uint8(100)
    return images


def distance(left: ImageArray, right: ImageArray) -> float:
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


@every_corruption
@every_shape
def test_corruption_keeps_shape_and_type_and_leaves_its_input_alone(
    corruption: str, shape: tuple[int, int, int]
) -> None:
    images = textured(shape)
    before = images.copy()

    corrupted = corrupt(images, corruption, 5)

    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.uint8
    assert not np.shares_memory(corrupted, images)
    np.testing.assert_array_equal(images, before)


@every_corruption
@every_shape
def test_each_severity_moves_images_further_away(
    corruption: str, shape: tuple[int, int, int]
) -> None:
    images = textured(shape)

    distances = [distance(corrupt(images, corruption, severity), images) for severity in SEVERITIES]

    assert 0 < distances[0] < distances[1] < distances[2]


@every_corruption
def test_corruption_depends_on_the_seed_alone(corruption: str) -> None:
    images = textured()

    first, again = (corrupt(images, corruption, 3, seed=7) for _ in range(2))

    np.testing.assert_array_equal(first, again)


def test_other_seeds_and_other_images_get_other_noise() -> None:
    grey = np.full((2, 16, 16, 3), 128, np.uint8)

    noisy = corrupt(grey, "gaussian_noise", 1, seed=1)

    assert distance(noisy[0], noisy[1]) > 5
    assert distance(noisy, corrupt(grey, "gaussian_noise", 1, seed=2)) > 5


def test_noise_has_the_deviation_of_the_article() -> None:
    grey = np.full((4, 64, 64, 3), 128, np.uint8)

    noise = corrupt(grey, "gaussian_noise", 3).astype(float) - 128

    assert noise.std() == pytest.approx(0.08 * 255, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.5)


def test_brightness_adds_to_the_value_and_keeps_hue_and_saturation() -> None:
    image = np.array([[[[100, 50, 0], [0, 0, 0], [255, 10, 10]]]], np.uint8)

    brighter = corrupt(image, "brightness", 3)  # 0.15 × 255 = 38.25

    np.testing.assert_array_equal(brighter, [[[[138, 69, 0], [38, 38, 38], [255, 10, 10]]]])


def test_blur_keeps_flat_areas_and_softens_edges() -> None:
    image = np.zeros((1, 32, 32, 1), np.uint8)
    image[:, :, 16:] = 200

    blurred = corrupt(image, "gaussian_blur", 5)[0, 16, :, 0].astype(int)

    assert (blurred[0], blurred[-1]) == (0, 200)
    assert np.all(np.diff(blurred) >= 0)
    assert 20 < blurred[15] < 100 < blurred[16] < 180


def test_blur_spreads_over_the_same_part_of_a_larger_image() -> None:
    small, large = (np.zeros((1, side, side, 1), np.uint8) for side in (32, 128))
    small[:, :, 16:] = large[:, :, 64:] = 255

    one, other = (corrupt(images, "gaussian_blur", 5)[0, 0, :, 0] for images in (small, large))

    softened = [float(np.mean((row > 5) & (row < 250))) for row in (one, other)]
    assert softened[0] == pytest.approx(softened[1], abs=0.05)
