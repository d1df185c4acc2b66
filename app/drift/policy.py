"""How much of what was served is remembered, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass

from app.artifacts.statistics import MIN_IMAGES


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """Length of the windows.

    Attributes:
        window: Last images of each version that figures are about; 0: nothing is observed.
        max_pixel_images_per_s: Images of each version and second whose pixels are looked at.
    """

    window: int = 1000
    # Looking at pixels takes 17 µs at 32 × 32 × 3 and 22 µs at 224 × 224 × 3 (one core of an AMD
    # EPYC), the rest of observing an image 0.45 µs; so 200 of them take less than half a percent of
    # the event loop, at any load. Measured by
    #   python -m timeit -s 'from app.drift import window as d; p = d.np.zeros((32, 32, 3), "u1")' \
    #     -s 'w = d.DriftWindow(d.DriftPolicy(1000, 10**9), 3)' 'w.observe(0, 0.5, p)'
    max_pixel_images_per_s: int = 200

    def __post_init__(self) -> None:
        """Refuse what would never give an index.

        Raises:
            ValueError: The window is negative, or shorter than an index needs.
        """
        if self.window != 0 and self.window < MIN_IMAGES:
            raise ValueError(
                f"the drift window is {self.window} images (KERASERVE_DRIFT_WINDOW), must be 0 "
                f"(off) or at least {MIN_IMAGES}: chance alone would move fewer"
            )
