"""Finds the images that stand in two parts: what was learnt from must not be judged by."""

from __future__ import annotations

import hashlib
import logging

from training.data.dataset import Dataset, Split

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 16


def warn_of_duplicates(dataset: Dataset) -> None:
    """Log how many images of validation and test stand, pixel by pixel, in another part too."""
    train, validation, test = (
        _digests(split) for split in (dataset.train, dataset.validation, dataset.test)
    )
    learnt, chosen_by = set(train), set(validation)
    counts = {
        "validation_in_train": sum(digest in learnt for digest in validation),
        "test_in_train": sum(digest in learnt for digest in test),
        "test_in_validation": sum(digest in chosen_by for digest in test),
    }
    if any(counts.values()):
        logger.warning(
            "the same images are in several parts, accuracies will look better than they are",
            extra=counts,
        )


def _digests(split: Split) -> list[bytes]:
    return [
        hashlib.blake2b(image.tobytes(), digest_size=_DIGEST_BYTES).digest()
        for image in split.images
    ]
