"""Brings every Pillow mode to 8 bits, grey or RGB, without alpha."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WHITE = 255
_GREY_MODES = ("1", "L", "LA", "La")


def flatten(image: Image.Image, bit_depth: int) -> Image.Image:
    """Convert a loaded image to mode ``L`` or ``RGB``, whichever holds its colours.

    Alpha, of any kind, is composited over white: what browsers and image viewers show. Colour
    profiles are ignored, as the usual training pipelines do.

    Args:
        image: Loaded; its ``info`` may be changed.
        bit_depth: Bits per sample in the file, which Pillow's mode does not tell: transparent
            colours are given, and 12-bit values stored, without scaling.

    Returns:
        ``image`` itself where it is in such a mode already.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _from_uint16(image, bit_depth)
    if image.mode in ("I", "F"):
        return _from_wide(image)
    if image.has_transparency_data:
        return _over_white(image, bit_depth)
    return image.convert("L" if image.mode in _GREY_MODES else "RGB")


def _over_white(image: Image.Image, bit_depth: int) -> Image.Image:
    _scale_transparent_color(image, bit_depth)
    grey = image.mode in _GREY_MODES
    wanted = "LA" if grey else "RGBA"
    if image.mode != wanted:
        image = image.convert(wanted)
    flat = Image.new("L" if grey else "RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _scale_transparent_color(image: Image.Image, bit_depth: int) -> None:
    # Pillow gives the transparent colour of a PNG in the depth of the file, but the pixels in 8
    # bits. The low byte of 16-bit RGB is lost by then: the colours that share the high byte
    # become transparent with it.
    color = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(color, tuple):
        shift = max(bit_depth - 8, 0)
        image.info["transparency"] = tuple(value >> shift & 0xFF for value in color)
    elif image.mode == "L" and isinstance(color, int):
        brightest = (1 << bit_depth) - 1
        image.info["transparency"] = (color & brightest) * 255 // brightest


def _from_uint16(image: Image.Image, bit_depth: int) -> Image.Image:
    # Pillow's own conversion clips at 255. The high byte is taken, as Pillow does for 16-bit RGB.
    values = np.asarray(image)  # (H, W) uint16, 0..2**bit_depth - 1
    grey = (values >> (bit_depth - 8)).astype(np.uint8)  # (H, W) uint8, 0..255
    color = image.info.get("transparency")
    if isinstance(color, int):
        grey[values == color] = _WHITE
    return Image.fromarray(grey)


def _from_wide(image: Image.Image) -> Image.Image:
    """Scale 32-bit integers or floats, whose range no file states, by their brightest pixel.

    White is the first of 1 (floats only), 255 and 65535 that no pixel exceeds, else the
    brightest pixel itself. Negative values and NaN become black, infinity becomes white.
    """
    values: NDArray[np.float32] = np.array(image, np.float32)  # (H, W) float32, any range
    brightest = float(np.max(values, where=np.isfinite(values), initial=0))
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    white = next((limit for limit in usual if brightest <= limit), brightest)
    np.clip(values, 0, white, out=values)  # before scaling, which could overflow
    np.nan_to_num(values, copy=False)
    values *= 255 / white
    np.rint(values, out=values)
    return Image.fromarray(values.astype(np.uint8))  # (H, W) uint8, 0..255
