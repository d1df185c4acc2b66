"""The population stability index: how far the distribution of a window is from the reference.

E. M. Lewis: An Introduction to Credit Scoring. Athena Press, 1994, has the index and its reading:
below 0.1 nothing to speak of, to 0.25 worth a look, above that something has changed.

B. Yurdakul: Statistical Properties of Population Stability Index. Dissertation, Western Michigan
University, 2018 (https://scholarworks.wmich.edu/dissertations/3208): where nothing has changed, the
index of ``n`` and ``m`` images in ``B`` bins is distributed as ``(1/n + 1/m)`` times a chi-square
of ``B - 1`` degrees of freedom, so that a thousand classes alone make it large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PSEUDO_IMAGES = 0.5
"""Added to each bin, so that an empty one has a logarithm (Jeffreys' prior)."""


def stability_index(
    counts: NDArray[np.int64], shares: NDArray[np.float64], reference_images: int
) -> float:
    """Return the population stability index, less what chance alone would make of it.

    The reference is smoothed by half an image in each bin. The window is by as many images in
    all, which are spread as the smoothed reference is: so smoothing moves it towards "no change",
    whatever the shape of the reference. That divides every difference by the same number, and
    what chance makes of the index, which grows as their square, by its square.

    Args:
        counts: ``(B,)`` images of the window in each bin; sum above 0.
        shares: ``(B,)`` of the reference, sum to 1.
        reference_images: How many images are behind them.

    Returns:
        0 or more. Simulated for 2 to 1,000 bins, all alike or falling by Zipf's law, and a
        reference of ``images_needed`` to 100,000 images: where nothing has changed, the mean
        before clipping is within 0.05 of 0 (-0.07 where one class has 95% and the reference is
        as small as it may be). In the shortest window, a change among bins that are alike shows
        as 0.8 to 1 of what it is, at the mark of 0.25 as 0.85 and more; one among classes too
        rare to be seen, as 0.6 to 1.3.
    """
    bins, images = len(counts), int(counts.sum())
    pseudo = PSEUDO_IMAGES * bins
    expected = (shares * reference_images + PSEUDO_IMAGES) / (reference_images + pseudo)
    observed = (counts + pseudo * expected) / (images + pseudo)
    index = float(np.sum((observed - expected) * np.log(observed / expected)))
    kept = images / (images + pseudo)  # of every difference, by smoothing
    by_chance = kept**2 * (bins - 1) * (1 / images + 1 / reference_images)
    return max(0.0, index - by_chance)
