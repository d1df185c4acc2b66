"""Labels that say more than a class: a better network's probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.types import ImageArray, ScoreArray


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network that labels are partly taken from.

    It sees what the student sees, augmented images that no data set has a label for, and says what
    it takes them for; that is worth more than its opinion of the images as they are (L. Beyer et
    al.: Knowledge distillation: A good teacher is patient and consistent. CVPR 2022).

    Attributes:
        execute: ``(N, H, W, C)`` uint8 to ``(N, K)`` float32, rows sum to 1; several threads call
            it at once.
        share: Of each label that is the teacher's, 0..1.
        sha256: Of the file of its network: a run does not go on with another one.
    """

    execute: Callable[[ImageArray], ScoreArray]
    share: float
    sha256: str = ""

    def blend(self, images: ImageArray, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the labels to learn from.

        Args:
            images: ``(N, H, W, C)`` uint8, as the student is shown them.
            labels: ``(N, K)`` float32, rows sum to 1.

        Returns:
            ``(N, K)`` float32, rows sum to 1.
        """
        share = np.float32(self.share)
        blended: NDArray[np.float32] = share * self.execute(images) + (1 - share) * labels
        return blended
