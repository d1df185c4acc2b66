from __future__ import annotations

import numpy as np
import pytest

from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.encoder import encode_png
from app.types import ImageArray, InputSpec
from tests.factories import images


@pytest.mark.parametrize("channels", [1, 3])
def test_decoding_gives_the_same_pixels(channels: int) -> None:
    pixels = images.noise(28, 20, channels)

    decoded = decode_image(encode_png(pixels), InputSpec(20, 28, channels), ImagingPolicy())

    assert decoded.format == "PNG"
    np.testing.assert_array_equal(decoded.pixels, pixels)


def test_grey_needs_no_channel_axis() -> None:
    pixels = images.noise(28, 20, 1)

    assert encode_png(pixels[..., 0]) == encode_png(pixels)


def test_pixels_may_be_a_view() -> None:
    pixels = images.noise(40, 40)[::2, ::-2]

    assert encode_png(pixels) == encode_png(pixels.copy())


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4,), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
    ids=["two channels", "vector", "batch", "empty", "float"],
)
def test_other_arrays_are_refused(pixels: ImageArray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 1\) or \(H, W, 3\), got"):
        encode_png(pixels)
