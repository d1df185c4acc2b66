"""Arrays of pixels and labels, checked and brought to the network's size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.resize import resize
from app.types import ImageArray, InputSpec
from training.data.dataset import DataError, Split, Wanted
from training.data.rows import fill_rows


class NamedArray(NamedTuple):
    """An array, and what messages call it, e.g. ``set.npz: x_train``."""

    name: str
    values: NDArray[Any]


def make_split(images: NamedArray, labels: NamedArray, wanted: Wanted) -> Split:
    """Check images and labels of one part, and resize the images where they need it.

    Args:
        images: ``(N, H, W)``, ``(N, H, W, 1)`` or ``(N, H, W, 3)`` uint8, 0..255, RGB.
        labels: ``(N,)`` or ``(N, 1)``, integers from 0 on.
        wanted: The size; a public set must have it already.

    Raises:
        DataError: Another shape or type; the message has it.
    """
    _check_images(images, wanted)
    return Split(
        _fitted(images.values.reshape(*images.values.shape[:3], -1), wanted.spec),
        _checked_labels(labels, images),
    )


def check_label_range(name: str, split: Split, classes: tuple[str, ...]) -> None:
    """Refuse labels that no class has.

    Raises:
        DataError: One is negative, or not below the number of classes.
    """
    lowest, highest = int(split.labels.min()), int(split.labels.max())
    if lowest < 0 or highest >= len(classes):
        raise DataError(
            f"{name} goes from {lowest} to {highest}, must be within 0 to {len(classes) - 1}: "
            f"there are {len(classes)} classes"
        )


def numbered_classes(train: Split) -> tuple[str, ...]:
    """Return ``"0"`` to the highest label of the training images, for a set without names."""
    return tuple(str(label) for label in range(max(int(train.labels.max()), 0) + 1))


def _check_images(images: NamedArray, wanted: Wanted) -> None:
    name, values = images
    if values.dtype != np.uint8:
        hint = ""
        if values.dtype.kind == "f":
            hint = "; of values 0..1 make (x * 255).round().astype('uint8')"
        raise DataError(f"{name} is {values.dtype}, must be uint8, 0..255{hint}")
    good = values.ndim == 3 or (values.ndim == 4 and values.shape[3] in (1, 3))
    if not good or 0 in values.shape:
        raise DataError(
            f"{name} has shape {values.shape}, must be (N, H, W), (N, H, W, 1) or (N, H, W, 3) "
            "and not empty"
        )
    spec = wanted.spec
    channels = values.shape[3] if values.ndim == 4 else 1
    if wanted.classes is not None and (*values.shape[1:3], channels) != spec.shape:
        size = ", ".join(
            str(side) for side in (spec.shape if spec.channels > 1 else spec.shape[:2])
        )
        raise DataError(f"{name} has shape {values.shape}, must be (N, {size}) for {wanted.name}")


def _checked_labels(labels: NamedArray, images: NamedArray) -> NDArray[np.int64]:
    name, values = labels
    if values.ndim == 2 and values.shape[1] > 1:
        raise DataError(
            f"{name} has shape {values.shape}, must be (N,) or (N, 1) class ids; of one column "
            "per class make y.argmax(axis=1)"
        )
    if values.ndim not in (1, 2):
        raise DataError(f"{name} has shape {values.shape}, must be (N,) or (N, 1) class ids")
    if values.dtype.kind not in "iu":
        raise DataError(f"{name} is {values.dtype}, must be integers, the class ids")
    if len(values) != len(images.values):
        raise DataError(
            f"{name} has {len(values)} labels, {images.name} has {len(images.values)} images"
        )
    return values.reshape(-1).astype(np.int64)


def _fitted(images: ImageArray, spec: InputSpec) -> ImageArray:
    """Bring ``(N, H, W, C)`` to ``spec``, by the steps that uploads take after decoding."""
    if images.shape[1:] == spec.shape:
        return np.ascontiguousarray(images)
    fitted = np.empty((len(images), *spec.shape), np.uint8)

    def fit(row: int) -> None:
        image = Image.fromarray(images[row] if images.shape[3] == 3 else images[row, :, :, 0])
        if spec.channels == 1 and image.mode == "RGB":
            image = image.convert("L")
        sized = resize(image, spec)
        if spec.channels == 3 and sized.mode == "L":
            sized = sized.convert("RGB")
        fitted[row] = np.asarray(sized).reshape(spec.shape)

    fill_rows(len(images), fit, activity="resizing")
    return fitted
