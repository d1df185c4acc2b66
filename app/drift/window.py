"""The last images of one version, as the few numbers that drift is told by."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from app.artifacts.pixels import channel_moments
from app.drift.policy import DriftPolicy
from app.types import Clock, ImageArray


@dataclass(frozen=True, slots=True, eq=False)
class WindowContent:
    """What a window holds, in no particular order.

    Attributes:
        class_ids: ``(n,)`` the class that each image was given.
        scores: ``(n,)`` the probability of that class, 0..1.
        means: ``(p, C)`` mean of each channel of the images whose pixels were looked at, 0..255.
        mean_squares: ``(p, C)`` mean square of the same.
    """

    class_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    means: NDArray[np.float64]
    mean_squares: NDArray[np.float64]


class DriftWindow:
    """Remembers the last ``policy.window`` images, and the last so many whose pixels it looked at.

    Loop: ``observe`` runs on the event loop, and is a few writes into arrays. ``content`` may be
    called from any thread: each number in it is one that was observed, but the arrays are copied
    one after the other, so that each may be some images further than the one before. No figure
    takes two of them for the same image's; those that means and their squares make together are
    of hundreds of images, of which few differ.
    Bound: pixels are looked at of so many images in each second, the first ones; an image takes
    8 bytes and 16 more for each channel.
    """

    def __init__(self, policy: DriftPolicy, channels: int, clock: Clock = monotonic) -> None:
        """Begin empty; ``policy.window`` is above 0."""
        self._class_ids = np.zeros(policy.window, np.int32)
        self._scores = np.zeros(policy.window, np.float32)
        self._means = np.zeros((policy.window, channels), np.float64)
        self._mean_squares = np.zeros((policy.window, channels), np.float64)
        self._answers = 0  # observed so far; owned by the event loop, as are the next three
        self._looks = 0
        self._second_began_s = float("-inf")
        self._looks_left = 0
        self._max_looks_per_s = policy.max_pixel_images_per_s
        self._clock = clock

    @property
    def length(self) -> int:
        """Most images it holds."""
        return len(self._class_ids)

    def observe(self, class_id: int, score: float, pixels: ImageArray) -> None:
        """Take in one answered image.

        Args:
            class_id: The class it was given.
            score: Probability of that class, 0..1.
            pixels: ``(H, W, C)`` uint8, 0..255, as the network saw it.
        """
        place = self._answers % len(self._class_ids)
        self._class_ids[place] = class_id
        self._scores[place] = score
        self._answers += 1
        if self._may_look():
            self._look(pixels)

    def content(self) -> WindowContent:
        """Return a copy of what it holds now."""
        answers, looks = (min(seen, self.length) for seen in (self._answers, self._looks))
        return WindowContent(
            self._class_ids[:answers].copy(),
            self._scores[:answers].copy(),
            self._means[:looks].copy(),
            self._mean_squares[:looks].copy(),
        )

    def _may_look(self) -> bool:
        now_s = self._clock()
        if now_s - self._second_began_s >= 1:
            self._second_began_s, self._looks_left = now_s, self._max_looks_per_s
        return self._looks_left > 0

    def _look(self, pixels: ImageArray) -> None:
        self._looks_left -= 1
        place = self._looks % len(self._means)
        means, squares = channel_moments(pixels[np.newaxis])
        self._means[place], self._mean_squares[place] = means[0], squares[0]
        self._looks += 1
