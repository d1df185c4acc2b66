from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from app.types import ImageArray
from training.config import AugmentationConfig
from training.fitting.augmentation import GREY, augment, mix_up

IMAGES = np.arange(20 * 6 * 5, dtype=np.uint32).astype(np.uint8).reshape(20, 6, 5, 1)
NONE = np.zeros(400, np.bool_)


def copies(image: ImageArray, count: int = 400) -> ImageArray:
    return np.repeat(image[None], count, axis=0)


def vary(images: ImageArray, mirrored: NDArray[np.bool_] = NONE, **settings: object) -> ImageArray:
    config = AugmentationConfig.model_validate(settings)
    return augment(images, config, np.random.default_rng(0), mirrored=mirrored[: len(images)])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"flip": True},
        {"shift_px": 2},
        {"cutout_px": 3},
        {"flip": True, "shift_px": 2, "cutout_px": 3},
    ],
    ids=str,
)
def test_input_is_left_alone_and_shape_and_type_are_kept(settings: dict[str, object]) -> None:
    before = IMAGES.copy()

    varied = vary(IMAGES, np.ones(20, np.bool_), **settings)
    varied[:] = 0

    np.testing.assert_array_equal(IMAGES, before)
    assert varied.shape == IMAGES.shape
    assert varied.dtype == np.uint8


def test_no_setting_changes_nothing() -> None:
    np.testing.assert_array_equal(vary(IMAGES, ~NONE), IMAGES)


def test_flip_mirrors_the_images_that_it_is_told_to() -> None:
    chosen = np.arange(20) % 3 == 0

    flipped = vary(IMAGES, chosen, flip=True)

    np.testing.assert_array_equal(flipped[chosen], IMAGES[chosen][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~chosen], IMAGES[~chosen])


def test_shift_moves_by_up_to_its_limit_in_every_direction_and_reflects() -> None:
    padded = np.pad(IMAGES[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    allowed = {
        padded[down : down + 6, right : right + 5].tobytes()
        for down in range(5)
        for right in range(5)
    }

    shifted = vary(copies(IMAGES[0]), shift_px=2)

    assert {image.tobytes() for image in shifted} == allowed


def painted(images: ImageArray) -> NDArray[np.bool_]:
    """Where black images are not black any more: ``(N, H, W)``."""
    assert set(np.unique(images)) <= {0, GREY}
    inside: NDArray[np.bool_] = (images == GREY).all(axis=3)
    np.testing.assert_array_equal(inside, (images == GREY).any(axis=3))
    return inside


@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_paints_one_grey_square_of_its_size_in_each_image(side: int) -> None:
    inside = painted(vary(np.zeros((400, 12, 10, 3), np.uint8), cutout_px=side))

    rows: NDArray[np.bool_] = np.asarray(inside.any(axis=2))  # (N, H)
    columns: NDArray[np.bool_] = np.asarray(inside.any(axis=1))  # (N, W)
    np.testing.assert_array_equal(inside, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(axis=1).max() == columns.sum(axis=1).max() == side
    assert inside.any(axis=(1, 2)).all()
    for lines in (rows, columns):  # in one piece
        assert (np.abs(np.diff(lines.astype(int), axis=1)).sum(axis=1) <= 2).all()


def test_cutout_falls_everywhere_and_hangs_over_the_edges() -> None:
    inside = painted(vary(np.zeros((400, 12, 10, 3), np.uint8), cutout_px=4))

    assert inside.any(axis=0).all()
    assert inside.sum(axis=(1, 2)).min() < 16 == inside.sum(axis=(1, 2)).max()


def test_cutout_larger_than_the_image_is_allowed() -> None:
    assert painted(vary(np.zeros((3, 4, 4, 1), np.uint8), cutout_px=100)).all()


def test_mixup_blends_images_and_labels_by_one_share() -> None:
    images = np.zeros((64, 2, 2, 3), np.uint8)
    images[:32] = 200
    labels = np.repeat(np.eye(2, dtype=np.float32), 32, axis=0)  # bright ones are of class 0

    mixed, shares = mix_up(images, labels, 0.4, np.random.default_rng(1))

    assert mixed.dtype == np.uint8
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], 200 * shares[:, 0], atol=0.51)
    assert len(np.unique(shares.round(4))) == 4  # 0, 1, share, 1 - share


def test_mixup_draws_its_share_from_the_beta_distribution() -> None:
    images, labels = np.array([[[[0]]], [[[255]]]], np.uint8), np.eye(2, dtype=np.float32)
    rng = np.random.default_rng(2)

    shares = np.array([mix_up(images, labels, 0.2, rng)[1].max() for _ in range(2000)])

    # The larger of x and 1 - x, where the pair is not mixed with itself: for a parameter of 0.2
    # half of all draws lie beyond 0.98.
    mixed = shares[shares < 1]
    assert 0.93 < np.median(mixed) < 0.995
    assert mixed.min() < 0.6
