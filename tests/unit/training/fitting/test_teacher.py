from __future__ import annotations

import numpy as np

from app.types import ImageArray, ScoreArray
from training.fitting.teacher import Teacher


def test_labels_are_partly_what_the_teacher_says_of_the_images_as_they_are_shown() -> None:
    def by_brightness(images: ImageArray) -> ScoreArray:
        bright = images[:, 0, 0, 0].astype(np.float32) / 255
        return np.stack([1 - bright, bright], axis=1)

    images = np.array([0, 204, 255], np.uint8).reshape(3, 1, 1, 1)
    classes = np.array([[1, 0], [0, 1], [0, 1]], np.float32)

    labels = Teacher(by_brightness, share=0.25).blend(images, classes)

    assert labels.dtype == np.float32
    expected = np.array([[1, 0], [0.05, 0.95], [0, 1]])
    np.testing.assert_allclose(labels, expected, atol=1e-6)
