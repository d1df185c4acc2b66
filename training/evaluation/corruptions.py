"""What happens to photographs on their way to a classifier: noise, blur, brightness, JPEG.

Four corruptions of D. Hendrycks, T. Dietterich: Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations. ICLR 2019, with the strengths that the authors chose for 32×32 images
(CIFAR-10-C). Accuracies are near to theirs, not the same: chance and resampling differ.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from app.types import ImageArray

SEVERITIES = (1, 3, 5)
"""Of the article's five: the mildest, the middle and the hardest show the course."""

_STRENGTHS: dict[str, dict[int, float]] = {
    "gaussian_noise": {1: 0.04, 3: 0.08, 5: 0.10},  # standard deviation, of the range 0..1
    "gaussian_blur": {1: 0.4, 3: 0.7, 5: 1.0},  # standard deviation, px of a 32 px image
    "brightness": {1: 0.05, 3: 0.15, 5: 0.30},  # added to the value of HSV, of the range 0..1
    "jpeg_compression": {1: 80, 3: 58, 5: 40},  # quality, as libjpeg counts it
}

CORRUPTIONS = tuple(_STRENGTHS)

_REFERENCE_SIDE_PX = 32
"""Above it, blur grows with the image: what counts is how much of the picture a point is spread
over. Below, it would be less than a pixel shows."""


def corrupt(images: ImageArray, corruption: str, severity: int, *, seed: int = 0) -> ImageArray:
    """Corrupt each image.

    Args:
        images: ``(N, H, W, C)`` uint8, 0..255, grey or RGB; not changed.
        corruption: One of ``CORRUPTIONS``.
        severity: One of ``SEVERITIES``.
        seed: Of the noise. An image gets the same noise at every severity, scaled.

    Returns:
        ``(N, H, W, C)`` uint8, a new array.
    """
    strength = _STRENGTHS[corruption][severity]
    rng = np.random.default_rng(seed)
    change = _CHANGES[corruption]
    corrupted = np.empty_like(images)
    for row, image in enumerate(images):  # one at a time: large images as floats fill the memory
        corrupted[row] = change(image, strength, rng)
    return corrupted


def _add_noise(image: ImageArray, deviation: float, rng: np.random.Generator) -> ImageArray:
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return _as_uint8(image + np.float32(255 * deviation) * noise)


def _blur(image: ImageArray, deviation_px: float, _: np.random.Generator) -> ImageArray:
    radius = deviation_px * max(1, min(image.shape[:2]) / _REFERENCE_SIDE_PX)
    return _as_array(_as_picture(image).filter(ImageFilter.GaussianBlur(radius)), image)


def _brighten(image: ImageArray, added: float, _: np.random.Generator) -> ImageArray:
    value = image.max(axis=2, keepdims=True).astype(np.float32)  # (H, W, 1), the V of HSV
    brighter = np.minimum(value + np.float32(255 * added), 255)
    # Hue and saturation stay, so all channels grow by one factor; black has neither and turns grey.
    factor = np.divide(brighter, value, out=np.zeros_like(value), where=value > 0)
    return _as_uint8(np.where(value > 0, image * factor, brighter))


def _compress(image: ImageArray, quality: float, _: np.random.Generator) -> ImageArray:
    buffer = io.BytesIO()
    _as_picture(image).save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer) as picture:
        return _as_array(picture, image)


_CHANGES: dict[str, Callable[[ImageArray, float, np.random.Generator], ImageArray]] = {
    "gaussian_noise": _add_noise,
    "gaussian_blur": _blur,
    "brightness": _brighten,
    "jpeg_compression": _compress,
}


def _as_picture(image: ImageArray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _as_array(picture: Image.Image, like: ImageArray) -> ImageArray:
    return np.asarray(picture, np.uint8).reshape(like.shape)


def _as_uint8(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> ImageArray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
