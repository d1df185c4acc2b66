from __future__ import annotations

import numpy as np
import pytest

from app.artifacts.pixels import channel_moments, spread
from app.types import ImageArray


def noise(*shape: int) -> ImageArray:
    return np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((5, 28, 28, 1), id="grey"),
        pytest.param((5, 32, 32, 3), id="colour"),
        pytest.param((1, 1, 7, 3), id="one row"),
    ],
)
def test_small_images_are_measured_by_all_their_pixels(shape: tuple[int, ...]) -> None:
    images = noise(*shape)

    means, squares = channel_moments(images)

    exact = images.astype(np.float64)
    assert means == pytest.approx(exact.mean(axis=(1, 2)), abs=1e-12)
    assert squares == pytest.approx((exact**2).mean(axis=(1, 2)), rel=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(33, 64, 2, 2), (224, 224, 7, 7), (500, 20, 16, 1)],
)
def test_large_images_are_measured_by_every_kth_row_and_column(
    height: int, width: int, rows: int, columns: int
) -> None:
    images = noise(2, height, width, 3)

    means, _ = channel_moments(images)

    seen = images[:, ::rows, ::columns].astype(np.float64)
    assert seen[0, :, :, 0].size <= 1024
    assert means == pytest.approx(seen.mean(axis=(1, 2)), abs=1e-12)


def test_spread_is_that_of_all_pixels_together() -> None:
    images = noise(6, 8, 8, 3)
    images[:3] //= 3
    means, squares = channel_moments(images)

    found = spread(means.mean(axis=0), squares.mean(axis=0))

    assert found == pytest.approx(images.std(axis=(0, 1, 2)), rel=1e-6)


def test_uniform_images_have_no_spread() -> None:
    means, squares = channel_moments(np.full((3, 30, 30, 1), 201, np.uint8))

    assert spread(means, squares) == pytest.approx(np.zeros((3, 1)), abs=0.05)
