"""What a caller may give as an image, as the bytes that are sent."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.imaging.encoder import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image


@runtime_checkable
class ReadableFile(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """Return what is left of it."""
        ...


ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | ReadableFile | Image | NDArray[Any]"
)
"""A path, an encoded image, an open file, a Pillow image, or pixels: ``(H, W)``, ``(H, W, 1)`` or
``(H, W, 3)`` uint8, 0..255."""

# What PNG holds as it is. Others (CMYK, F, …) become RGB, as Pillow converts them.
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


def image_bytes(source: ImageSource) -> bytes:
    """Return the encoded image; blocks where it must be read or encoded.

    Pixels become a PNG, which keeps each of them. A Pillow image is turned upright by its EXIF
    block, as the server does with files.

    Raises:
        OSError: The file cannot be read.
        TypeError: Nothing that could be an image.
        ValueError: An array of another shape or type.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    if isinstance(source, np.ndarray):
        return encode_png(source)
    from PIL import Image  # here: who sends files needs no decoder

    if isinstance(source, Image.Image):
        return _encode(source)
    if isinstance(source, ReadableFile):
        content = source.read()
        if isinstance(content, bytes):
            return content
        raise TypeError(f"the file gives {type(content).__name__}; open it in binary mode")
    raise TypeError(
        f"{type(source).__name__} is no image: give a path, bytes, an open file, a Pillow image "
        "or a NumPy array"
    )


def name_of(source: ImageSource, number: int) -> str:
    """Return what a file of a batch is called: its name, else ``image-<number>``.

    A name is bytes, and goes out as UTF-8: what is none is replaced.
    """
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if not isinstance(path, str | os.PathLike):
        return f"image-{number}"
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def _encode(image: Image) -> bytes:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode not in _PNG_MODES:
        upright = upright.convert("RGB")
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)  # on its way to another process: fast, not small
    return file.getvalue()
