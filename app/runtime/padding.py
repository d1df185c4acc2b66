"""Fills a batch up to an allowed size, so that the device sees only a few shapes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from app.types import ImageArray


def pad_to_allowed(images: ImageArray, allowed_batch_sizes: Sequence[int]) -> ImageArray:
    """Return the batch, with zero rows behind it up to the next allowed size.

    Args:
        images: ``(N, H, W, C)`` uint8, 1 ≤ N ≤ the largest allowed size.
        allowed_batch_sizes: Ascending, images.

    Raises:
        ValueError: N is 0 or above the largest allowed size.
    """
    count = len(images)
    index = bisect.bisect_left(allowed_batch_sizes, count)
    if count == 0 or index == len(allowed_batch_sizes):
        raise ValueError(f"batch of {count} images; allowed are 1 to {allowed_batch_sizes[-1]}")
    missing = allowed_batch_sizes[index] - count
    if not missing:
        return images
    filling = np.zeros((missing, *images.shape[1:]), np.uint8)
    return np.concatenate([images, filling])
