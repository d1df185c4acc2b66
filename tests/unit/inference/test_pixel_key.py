"""Bytes of pixels, whatever array they come in."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.encoder import encode_png
from app.inference.pixel_key import pixel_bytes
from app.types import ImageArray, InputSpec

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
PACKED = PIXELS.tobytes()
VIEW = np.frombuffer(PACKED, np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(PIXELS, id="an array with memory of its own"),
        pytest.param(VIEW, id="a view upon bytes"),
        pytest.param(VIEW[1:], id="a view upon a part of them"),
        pytest.param(VIEW[:, :, :1], id="a view with gaps"),
        pytest.param(VIEW[::-1], id="a view upside down"),
        pytest.param(VIEW.transpose(2, 1, 0), id="a view in another order"),
        pytest.param(PIXELS[::2], id="every other row of an array"),
    ],
)
def test_bytes_are_the_pixels_in_their_order(pixels: ImageArray) -> None:
    key = pixel_bytes(pixels)
    assert key == bytes(pixels.ravel().tolist())


def test_decoded_image_is_not_copied() -> None:
    image = decode_image(encode_png(PIXELS), InputSpec(4, 5, 3), ImagingPolicy())
    key = pixel_bytes(image.pixels)
    assert np.shares_memory(np.frombuffer(key, np.uint8), image.pixels)
