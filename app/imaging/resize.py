"""Brings images of any size to the size of the network."""

from __future__ import annotations

import math
from typing import TypeAlias

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from app.types import InputSpec

_Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

# Pillow antialiases every filter when reducing, except NEAREST. BOX is its antialiased
# counterpart: the same pixels when enlarging, the mean of the covered ones when reducing.
_FILTERS = {
    "nearest": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# A much bigger image is first reduced by a whole factor to this many times the target. Measured
# on two photographs of 4 megapixels against resizing at once: 4 differs by 0.2 to 0.4 levels of
# 255 on average and 5 at most, 3 by 0.6 and 13, in a quarter of the time. BOX weighs no pixel
# outside its cell, so that a misplaced border of a cell shows more: 16 is needed for the same.
# This also bounds the memory for coefficients, which grows with the sides: without it, an image
# of 50,000,000 × 1 would take a gigabyte.
_REDUCING_GAP = {"nearest": 16.0, "bilinear": 4.0, "bicubic": 4.0, "lanczos": 4.0}

# A JPEG is decoded at 1/2, 1/4 or 1/8 size if that is still this many times the target, in a
# third of the time. Measured as above: 3 differs by 0.2 to 0.4 levels on average and 10 at most,
# no more than the step above does; 2, as for Pillow's thumbnails, by 0.7 and 11. (The last row
# and column can differ by 20: there the decoder averages in what fills up the last blocks.)
_DRAFT_GAP = 3


def resize(
    image: Image.Image, spec: InputSpec, extent: tuple[float, float] | None = None
) -> Image.Image:
    """Bring an image to ``spec``'s size; one that has it is returned as it is.

    Args:
        image: In mode ``L`` or ``RGB``.
        spec: The size, how to reach it, and the filter.
        extent: What ``draft`` returned for this image.
    """
    size, target = extent or image.size, (spec.width, spec.height)
    if size == target:
        return image
    if spec.resize == "pad":
        return _pad(image, size, spec)
    box = _centre(size, target) if spec.resize == "crop" else (0, 0, *size)
    return _scale(image, target, spec, box)


def draft(image: JpegImageFile, spec: InputSpec) -> tuple[float, float] | None:
    """Let the decoder skip detail that the resize would average away; before loading only.

    Args:
        image: Opened; its ``size`` may change.
        spec: Where the resize will lead.

    Returns:
        Width and height, in px of the smaller image, that the whole picture takes in it: its
        last column and row may stand for a fraction of one, and the resize would be shifted if
        it took them for whole. None if the image is decoded whole.
    """
    if is_decoded_whole(image.size, spec):
        return None
    width, height = (math.ceil(_DRAFT_GAP * side) for side in _scaled_size(image.size, spec))
    if image.width < 2 * width or image.height < 2 * height:
        return None
    drafted = image.draft(None, (width, height))
    return drafted[1][2:] if drafted else None


def is_decoded_whole(size: tuple[int, int], spec: InputSpec) -> bool:
    """Whether ``draft`` certainly has nothing to skip: the common case, without arithmetic."""
    if spec.interpolation == "nearest":
        return True  # the decoder's scaling is no box average; measured, it shows
    worth_it = 2 * _DRAFT_GAP  # the least reduction that leaves room for decoding at half size
    return size[0] < worth_it * spec.width and size[1] < worth_it * spec.height


def _scaled_size(size: tuple[float, float], spec: InputSpec) -> tuple[float, float]:
    """Return the size that the whole image has after scaling, before it is cut or padded."""
    if spec.resize == "stretch":
        return spec.width, spec.height
    choose = max if spec.resize == "crop" else min
    factor = choose(spec.width / size[0], spec.height / size[1])
    return size[0] * factor, size[1] * factor


def _pad(image: Image.Image, size: tuple[float, float], spec: InputSpec) -> Image.Image:
    width, height = (max(1, round(side)) for side in _scaled_size(size, spec))
    inner = image
    if size != (width, height):
        inner = _scale(image, (width, height), spec, (0, 0, *size))
    padded = Image.new(image.mode, (spec.width, spec.height), "black")
    padded.paste(inner, ((spec.width - width) // 2, (spec.height - height) // 2))
    return padded


def _centre(size: tuple[float, float], target: tuple[int, int]) -> _Box:
    """Return the largest centred box, in px of the source, of the target's aspect ratio."""
    width, height = size
    factor = max(target[0] / width, target[1] / height)
    left = max(0.0, (width - target[0] / factor) / 2)
    top = max(0.0, (height - target[1] / factor) / 2)
    return left, top, width - left, height - top


def _scale(image: Image.Image, size: tuple[int, int], spec: InputSpec, box: _Box) -> Image.Image:
    name = spec.interpolation
    return image.resize(size, _FILTERS[name], box, _REDUCING_GAP[name])
