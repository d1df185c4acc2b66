"""Turns encoded images into the uint8 arrays that networks take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from app.errors import (
    ImageDecodeError,
    ImageTooLargeError,
    InvalidRequestError,
    OutOfMemoryError,
    ServingError,
)
from app.imaging.color import flatten
from app.imaging.container import FORMATS, Container, Limits, identify, open_container
from app.imaging.effort import require_effort
from app.imaging.plain import PlainImage, load_plain
from app.imaging.resize import draft, resize
from app.types import DecodedImage, ImageArray, InputSpec

_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_TURNED = 5  # from this orientation on, width and height change places

_MAX_REASON_CHARACTERS = 120
_BYTES_PER_PIXEL = 17  # the most that decoding takes, see ImagingPolicy


@dataclass(frozen=True, slots=True)
class ImagingPolicy:
    """What is decoded, and what is refused before.

    Attributes:
        max_image_pixels: Width times height of an upload. A decode takes 4 to 17 bytes of
            memory per pixel (measured: RGB PNG, WebP), on each thread that decodes.
        max_decode_ms: Time of one core that decoding may take: what the header lets expect is
            refused before, a PNG that takes longer all the same is stopped. Small, ordinary files,
            which take some milliseconds, are not asked. Infinite for files that can be trusted.
        formats: Enabled formats, by Pillow's names, out of PNG, JPEG, WEBP, BMP, GIF and TIFF.
    """

    max_image_pixels: int = 50_000_000
    max_decode_ms: float = 100.0
    formats: tuple[str, ...] = FORMATS

    def __post_init__(self) -> None:
        """Refuse a limit or a format that cannot work.

        Raises:
            ValueError: A limit is below 1, or no time at all, or a format is unknown, or there is
                none.
        """
        if not self.max_decode_ms > 0:
            raise ValueError(f"max_decode_ms is {self.max_decode_ms}; it must be above 0")
        if self.max_image_pixels < 1:
            raise ValueError(f"max_image_pixels is {self.max_image_pixels}; it must be at least 1")
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown or not self.formats:
            raise ValueError(f"formats: {unknown or 'none'}; choose from {', '.join(FORMATS)}")


def decode_image(
    data: bytes | bytearray | memoryview, spec: InputSpec, policy: ImagingPolicy
) -> DecodedImage:
    """Decode one image: upright, in the network's channels, of the network's size.

    Of several frames or pages the first is taken. Alpha is composited over white, 16-bit values
    are scaled, grey is Pillow's luma of the colours. An image that has the size and the channels
    already keeps its pixels exactly. Safe to call from many threads at once.

    Args:
        data: The file; any bytes at all, from strangers.
        spec: Size and channels that the network takes.
        policy: The limits.

    Returns:
        The pixels, read-only, and what the file was: ``width`` and ``height`` after orientation
        and before the resize, ``mode`` as Pillow reports the stored one.

    Raises:
        InvalidRequestError: ``data`` is empty.
        UnsupportedFormatError: No image, or of a format that is not enabled.
        ImageTooLargeError: Too many pixels, or too long to decode.
        ImageDecodeError: Truncated, corrupt, or of a kind that Pillow does not know.
        OutOfMemoryError: There is no memory for an image of the largest size now.
    """
    if not data:
        raise InvalidRequestError("The image file is empty.")
    data = bytes(data)  # the same object where it is bytes already
    format_name = identify(data, policy.formats)
    try:
        return _decode(data, format_name, spec, policy)
    except ServingError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError(_describe_bomb(policy.max_image_pixels)) from error
    except MemoryError as error:
        # Also what a corrupt file asks for may be more than there is of anything.
        if _has_memory_for(policy.max_image_pixels):
            raise ImageDecodeError(_describe(error, format_name)) from error
        raise OutOfMemoryError(
            "The service has no memory for decoding an image of "
            f"{policy.max_image_pixels:,} pixels (KERASERVE_MAX_IMAGE_PIXELS) now."
        ) from error
    except Exception as error:  # Pillow has no base class for what corrupt files make it raise
        raise ImageDecodeError(_describe(error, format_name)) from error


def _decode(data: bytes, format_name: str, spec: InputSpec, policy: ImagingPolicy) -> DecodedImage:
    plain = load_plain(data, format_name, spec, policy.max_image_pixels)
    if plain is None:
        limits = Limits(policy.max_image_pixels, policy.max_decode_ms)
        container = open_container(data, format_name, limits)
    elif _fits(plain, spec):  # the network's own size and channels: nothing is left to do
        return _to_result(plain.pixels, spec, format_name, plain.size, plain.mode)
    else:
        image = Image.frombytes(plain.mode, plain.size, plain.pixels)
        container = Container(image, plain.orientation)
    image, orientation = container.image, container.orientation
    mode, (width, height) = image.mode, image.size  # both can change below
    stored_spec = spec  # what the pixels become before they are turned upright, when it is cheap
    if orientation >= _FIRST_TURNED:
        width, height = height, width
        stored_spec = replace(spec, width=spec.height, height=spec.width)
    extent = draft(image, stored_spec) if isinstance(image, JpegImageFile) else None
    require_effort(container.effort, image, policy.max_decode_ms)
    image.load()
    flat = flatten(image, container.bit_depth)
    if spec.channels == 1 and flat.mode == "RGB":
        flat = flat.convert("L")
    sized = resize(flat, stored_spec, extent)
    if orientation in _TO_UPRIGHT:
        sized = sized.transpose(_TO_UPRIGHT[orientation])
    if spec.channels == 3 and sized.mode == "L":  # after the resize, which is cheaper in grey
        sized = sized.convert("RGB")
    return _to_result(sized.tobytes(), spec, format_name, (width, height), mode)


def _has_memory_for(pixels: int) -> bool:
    try:
        bytearray(_BYTES_PER_PIXEL * pixels)  # zeros, which no page of memory is taken for
    except MemoryError:
        return False
    return True


def _fits(plain: PlainImage, spec: InputSpec) -> bool:
    return (
        plain.size == (spec.width, spec.height)
        and plain.mode == ("RGB" if spec.channels == 3 else "L")
        and plain.orientation not in _TO_UPRIGHT
    )


def _to_result(
    rows: bytes, spec: InputSpec, format_name: str, size: tuple[int, int], mode: str
) -> DecodedImage:
    pixels: ImageArray = np.ndarray(spec.shape, np.uint8, rows)  # (H, W, C) uint8, 0..255
    return DecodedImage(pixels, format_name, size[0], size[1], mode)


def _describe(error: Exception, format_name: str) -> str:
    reason = "it is truncated or corrupt"
    # Other types, and exceptions wrapped in one of these, speak of Pillow's insides.
    if isinstance(error, OSError | SyntaxError | ValueError):
        text = error.args[0] if error.args else None
        if isinstance(text, str) and text:
            reason = text[:_MAX_REASON_CHARACTERS].rstrip(".")
    return f"The {format_name} image cannot be decoded: {reason}."


def _describe_bomb(max_pixels: int) -> str:
    # Pillow's own limit still holds where it checks while it parses: for the frame of a GIF that
    # exceeds its screen, and for TIFF and WebP where ours is set above Pillow's.
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    setting = "KERASERVE_MAX_IMAGE_PIXELS" if limit == max_pixels else "of the decoder"
    return f"The image has too many pixels; the limit is {limit:,} ({setting})."
