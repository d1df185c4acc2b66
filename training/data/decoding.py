"""Encoded files to pixels: what cannot be read is told, left out, and limited."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from app.errors import ServingError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import ImageArray
from training.data.dataset import DataError, Split, Wanted
from training.data.file_tree import READ_ERRORS, FileTree
from training.data.rows import check_memory, fill_rows

logger = logging.getLogger(__name__)

MOST_LISTED = 20
"""Unreadable images that the log names; a count stands for the rest."""

_MOST_IN_ERROR = 5

# Whoever trains knows where the files are from, and waits for them.
_IMAGING = ImagingPolicy(max_decode_ms=math.inf)


class LabelledFile(NamedTuple):
    """An image of the tree, and its class id."""

    name: str
    label: int


class DecodedParts(NamedTuple):
    """What came of the files.

    Attributes:
        splits: Part and images, in the order of the files.
        skipped: Those that could not be read, as ``name: reason``.
    """

    splits: dict[str, Split]
    skipped: tuple[str, ...]


def decode_parts(
    tree: FileTree, parts: Mapping[str, Sequence[LabelledFile]], wanted: Wanted
) -> DecodedParts:
    """Decode images as the service decodes uploads: upright, resized, grey where it is asked for.

    Args:
        tree: Where they are.
        parts: Part and files.
        wanted: Size, and how many may be unreadable.

    Raises:
        DataError: Too many are unreadable, all are too large for the memory, or one of a public
            set has another size.
    """
    check_memory({part: len(files) for part, files in parts.items()}, wanted.spec)
    # One array for each part: of a common one, a view of the test images would keep all alive.
    pixels = {part: np.empty((len(files), *wanted.spec.shape), np.uint8)
              for part, files in parts.items()}  # fmt: skip
    places = [(part, row) for part, files in parts.items() for row in range(len(files))]

    def decode(index: int) -> str | None:
        part, row = places[index]
        return _decode(tree, parts[part][row].name, wanted, pixels[part][row])

    failed = {places[index]: reason for index, reason in fill_rows(len(places), decode).items()}
    skipped = tuple(f"{parts[part][row].name}: {reason}" for (part, row), reason in failed.items())
    _report(skipped, len(places), tree, wanted)
    splits = {}
    for part, files in parts.items():
        kept = [row for row in range(len(files)) if (part, row) not in failed]
        labels = np.array([files[row].label for row in kept], np.int64)
        splits[part] = Split(_closed_up(pixels[part], kept), labels)
    return DecodedParts(splits, skipped)


def _decode(tree: FileTree, name: str, wanted: Wanted, target: ImageArray) -> str | None:
    """Write one image to ``target``, ``(H, W, C)`` uint8; return why it cannot be."""
    try:
        image = decode_image(tree.read(name), wanted.spec, _IMAGING)
    except ServingError as error:
        return str(error)
    except READ_ERRORS as error:
        return f"The file cannot be read: {getattr(error, 'strerror', None) or error}."
    if wanted.classes is not None and image.pixels.shape[:2] != (image.height, image.width):
        raise DataError(
            f"{tree.place}: {name} has {image.width} × {image.height} px, those of {wanted.name} "
            f"have {wanted.spec.width} × {wanted.spec.height}"
        )
    target[:] = image.pixels
    return None


def _report(skipped: Sequence[str], count: int, tree: FileTree, wanted: Wanted) -> None:
    for line in skipped[:MOST_LISTED]:
        name, _, reason = line.partition(": ")
        logger.warning("unreadable image", extra={"image": name, "reason": reason})
    if len(skipped) > MOST_LISTED:
        logger.warning("more unreadable images", extra={"images": len(skipped) - MOST_LISTED})
    share = len(skipped) / max(count, 1)
    if share > wanted.max_unreadable_share:
        first = "; ".join(skipped[:_MOST_IN_ERROR])
        raise DataError(
            f"{tree.place}: {len(skipped)} of {count} images cannot be read ({share:.1%}), at most "
            f"{wanted.max_unreadable_share:.1%} may be (data.max_unreadable_share): {first}"
            f"{'; …' if len(skipped) > _MOST_IN_ERROR else ''}"
        )
    if skipped:
        logger.warning("unreadable images are left out", extra={"images": len(skipped)})


def _closed_up(images: ImageArray, kept: Sequence[int]) -> ImageArray:
    """Return the kept rows, ascending, in the memory that they have: a copy could be too much."""
    for target, row in enumerate(kept):
        if target != row:
            images[target] = images[row]
    return images[: len(kept)]
