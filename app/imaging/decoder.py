"""Turns encoded images into the uint8 arrays that networks take."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.types import DecodedImage, InputSpec


@dataclass(frozen=True, slots=True)
class ImagingPolicy:
    max_image_pixels: int = 50_000_000


def decode_image(data: bytes, spec: InputSpec, policy: ImagingPolicy) -> DecodedImage:
    image = Image.open(io.BytesIO(data))
    pixels = np.asarray(image.convert("RGB" if spec.channels == 3 else "L"), np.uint8)
    pixels = pixels.reshape(spec.shape)
    return DecodedImage(pixels, str(image.format), image.width, image.height, image.mode)
