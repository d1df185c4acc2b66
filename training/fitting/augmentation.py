"""Varies images: pure functions of the images, the settings and a source of chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray
from training.config import AugmentationConfig

GREY = 128
"""What cutout paints: the middle of 0..255, which is neither black nor white to a network."""


def augment(
    images: ImageArray,
    config: AugmentationConfig,
    rng: np.random.Generator,
    *,
    mirrored: NDArray[np.bool_],
) -> ImageArray:
    """Shift, mirror and cut each image on its own.

    Args:
        images: ``(N, H, W, C)`` uint8, 0..255; not changed.
        config: What to vary.
        rng: Where chance comes from.
        mirrored: ``(N,)`` which images to mirror, if ``config.flip`` is on.

    Returns:
        ``(N, H, W, C)`` uint8, a new array.
    """
    if config.shift_px:
        images = _shifted(images, config.shift_px, rng)
    if config.flip:
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    images = np.array(images, order="C")
    if config.cutout_px:
        images[_squares(images.shape, config.cutout_px, rng)] = GREY
    return images


def mix_up(
    images: ImageArray, labels: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[ImageArray, NDArray[np.float32]]:
    """Blend each image and its label with another one of the batch, by one share for all.

    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization.
    ICLR 2018.

    Args:
        images: ``(N, H, W, C)`` uint8, 0..255.
        labels: ``(N, K)`` float32, rows sum to 1.
        alpha: Both parameters of the Beta distribution that the share is drawn from.
        rng: Where chance comes from.

    Returns:
        Images and labels of the same shapes and types.
    """
    share = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    blended = share * images + (1 - share) * images[other]  # (N, H, W, C) float32, 0..255
    return np.rint(blended).astype(np.uint8), share * labels + (1 - share) * labels[other]


def _shifted(images: ImageArray, shift_px: int, rng: np.random.Generator) -> ImageArray:
    count, height, width, _ = images.shape
    pad = ((0, 0), (shift_px, shift_px), (shift_px, shift_px), (0, 0))
    padded = np.pad(images, pad, mode="reflect")
    # (N, 2·shift+1, 2·shift+1, C, H, W): a view of every possible crop
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = rng.integers(0, 2 * shift_px + 1, (2, count))
    shifted: ImageArray = crops[np.arange(count), down, right].transpose(0, 2, 3, 1)
    return shifted  # (N, H, W, C)


def _squares(shape: tuple[int, ...], side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return ``(N, H, W)``: True in one square per image, whose middle is anywhere in it.

    T. DeVries, G. W. Taylor: Improved Regularization of Convolutional Neural Networks with
    Cutout. 2017, arXiv:1708.04552.
    """
    count, height, width, _ = shape
    top = rng.integers(0, height, (count, 1)) - side // 2
    left = rng.integers(0, width, (count, 1)) - side // 2
    rows, columns = np.arange(height), np.arange(width)
    inside_rows = (rows >= top) & (rows < top + side)  # (N, H)
    inside_columns = (columns >= left) & (columns < left + side)  # (N, W)
    return inside_rows[:, :, None] & inside_columns[:, None, :]
