"""Turns pixels back into an image file."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from app.types import ImageArray


def encode_png(pixels: ImageArray) -> bytes:
    """Encode one image as PNG; decoding it gives the same pixels.

    Args:
        pixels: ``(H, W, C)`` uint8, 0..255, C is 1 (grey) or 3 (RGB); ``(H, W)`` is grey too.

    Raises:
        ValueError: Another shape or another type.
    """
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    rgb = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (grey or rgb) or pixels.size == 0:
        raise ValueError(
            f"expected uint8 (H, W, 1) or (H, W, 3), got {pixels.dtype} {pixels.shape}"
        )
    image = Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
