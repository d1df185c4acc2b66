"""What two images must share to get one answer: every byte that the network sees."""

from __future__ import annotations

import numpy as np

from app.types import ImageArray


def pixel_bytes(pixels: ImageArray) -> bytes:
    """Return the pixels as bytes; without a copy where they are a view upon such.

    Decoded images are: Pillow gives its pixels out as one ``bytes``. A copy would double what each
    waiting image holds.

    Args:
        pixels: ``(H, W, C)`` uint8, 0..255.
    """
    base = pixels.base
    while isinstance(base, np.ndarray):
        base = base.base
    # As long as the view, and the view without gaps: it is all of them, in order.
    if isinstance(base, bytes) and len(base) == pixels.nbytes and pixels.flags.c_contiguous:
        return base
    return pixels.tobytes()
