"""How long decoding will take, told from headers: the decoders cannot be interrupted.

Figures are nanoseconds of one core, as measured with ``python -m benchmarks.hostile_images`` on
a processor with AVX-512; they are those of the most expensive files that were found of each kind,
honest or not. Where the two differ much, and the decoder is fed in pieces (PNG), a clock runs
beside it (``TimedFile``).
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image

from app.errors import ImageTooLargeError
from app.imaging.jpeg_scans import JpegCoding

SETTING = "KERASERVE_MAX_DECODE_MS"
NS_PER_MS = 1_000_000


class Effort(NamedTuple):
    """What decoding takes, ns.

    Attributes:
        stream_ns: For reading the compressed stream.
        pixel_ns: For each pixel that the decoder hands out.
        hidden_ns: How much longer a stream made for it can take, which no header tells.
    """

    stream_ns: float
    pixel_ns: float = 0.0
    hidden_ns: float = 0.0

    @property
    def worst_ns(self) -> float:
        """What the stream can take at most."""
        return self.stream_ns + self.hidden_ns


NO_EFFORT = Effort(0.0)

# To 8 bits without alpha, and reduced: per pixel, by Pillow's mode.
_FLATTEN_NS = {
    "1": 1.0, "L": 0.5, "P": 3.0, "RGB": 1.0, "RGBA": 5.0, "LA": 5.0, "CMYK": 4.0, "YCbCr": 8.0,
    "I;16": 4.0, "F": 9.0,
}  # fmt: skip
_FLATTEN_OTHERS_NS = 14.0
_TRANSPARENT_COLOR_NS = 6.0

_PNG_ROW_BYTE_NS, _PNG_PIXEL_NS, _PNG_BYTE_NS = 3.6, 1.0, 9.0
# Blocks of deflate that hold nothing but the tables for their codes.
_DEFLATE_TABLES_BYTE_NS = 60.0

_GIF_PIXEL_NS, _GIF_BYTE_NS = 2.5, 1.5

_BMP_PIXEL_NS, _BMP_BYTE_NS = 2.0, 1.0
# Pillow undoes run lengths in Python.
_BMP_RLE_PIXEL_NS, _BMP_RLE_BYTE_NS = 80.0, 160.0

_WEBP_LOSSY_PIXEL_NS, _WEBP_LOSSY_BYTE_NS = 9.0, 20.0
_WEBP_LOSSLESS_PIXEL_NS, _WEBP_LOSSLESS_BYTE_NS = 14.0, 5.0
_WEBP_ALPHA_PIXEL_NS = 4.0
# A lossless stream may bring five tables of codes for each tile of 4x4 px, 65,536 times at most.
_WEBP_TABLES_NS, _WEBP_TABLES_BYTES = 9_000.0, 2.5
_WEBP_TILE_PX, _WEBP_MAX_TABLES = 4, 65_536

_JPEG_BYTE_NS, _JPEG_BLOCK_NS = 6.5, 20.0
# Where scans refine each other, all blocks are kept in memory and gone through for each.
_JPEG_SCANS_BYTE_NS, _JPEG_VISIT_NS, _JPEG_KEPT_BLOCK_NS = 14.0, 22.0, 60.0
_JPEG_SMOOTHED_BLOCK_NS, _JPEG_LOSSLESS_BLOCK_NS = 120.0, 640.0
_JPEG_PIXEL_NS, _JPEG_SAMPLE_NS = 1.0, 1.5

_TIFF_TILE_NS = 3_500.0
# Per byte of rows, and per compressed byte. Deflate, LZMA and Zstandard are taken to be hostile:
# libtiff reads a file in one go.
_TIFF_NS = {
    "raw": (1.0, 1.0),
    "tiff_lzw": (1.5, 6.0),
    "packbits": (1.0, 2.0),
    "tiff_adobe_deflate": (2.7, _DEFLATE_TABLES_BYTE_NS),
    "tiff_deflate": (2.7, _DEFLATE_TABLES_BYTE_NS),
    "lzma": (2.7, 60.0),
    "zstd": (1.0, 150.0),
    "jpeg": (1.5, 8.0),
    "tiff_ccitt": (8.0, 30.0),
    "group3": (8.0, 30.0),
    "group4": (8.0, 30.0),
}
_TIFF_OTHERS_NS = (40.0, 150.0)
_TIFF_SCANS_BYTE_NS = 40.0  # of rows: JPEG streams with as many scans as libjpeg takes


def flatten_ns(image: Image.Image) -> float:
    """Return what a pixel takes after decoding."""
    extra = _TRANSPARENT_COLOR_NS if "transparency" in image.info else 0.0
    return _FLATTEN_NS.get(image.mode, _FLATTEN_OTHERS_NS) + extra


def png_effort(size: tuple[int, int], bits_per_pixel: int, size_bytes: int) -> Effort:
    """Of a PNG; ``size_bytes`` without chunks that carry no pixels."""
    rows_bytes = size[0] * size[1] * bits_per_pixel / 8
    stream_ns = rows_bytes * _PNG_ROW_BYTE_NS + size_bytes * _PNG_BYTE_NS
    return Effort(stream_ns, _PNG_PIXEL_NS, size_bytes * (_DEFLATE_TABLES_BYTE_NS - _PNG_BYTE_NS))


def gif_effort(size_bytes: int) -> Effort:
    """Of the first frame of a GIF."""
    return Effort(size_bytes * _GIF_BYTE_NS, _GIF_PIXEL_NS)


def bmp_effort(size_bytes: int, *, is_run_length: bool) -> Effort:
    """Of a BMP."""
    if is_run_length:
        return Effort(size_bytes * _BMP_RLE_BYTE_NS, _BMP_RLE_PIXEL_NS)
    return Effort(size_bytes * _BMP_BYTE_NS, _BMP_PIXEL_NS)


def most_webp_tables(size: tuple[int, int], size_bytes: int) -> int:
    """Return how many sets of tables a lossless stream can bring, whatever stands in it."""
    tiles = -(-size[0] // _WEBP_TILE_PX) * -(-size[1] // _WEBP_TILE_PX)
    return min(tiles, _WEBP_MAX_TABLES, round(size_bytes / _WEBP_TABLES_BYTES) + 1)


def webp_effort(size_bytes: int, tables: int, *, is_lossy: bool, has_tables: bool) -> Effort:
    """Of the first frame of a WebP.

    Args:
        size_bytes: Of its chunks.
        tables: Sets of tables of codes in its lossless streams.
        is_lossy: How its colours are coded.
        has_tables: Whether its colours, or its alpha channel, are a lossless stream.
    """
    if not is_lossy:
        stream_ns = tables * _WEBP_TABLES_NS + size_bytes * _WEBP_LOSSLESS_BYTE_NS
        return Effort(stream_ns, _WEBP_LOSSLESS_PIXEL_NS)
    stream_ns = tables * _WEBP_TABLES_NS + size_bytes * _WEBP_LOSSY_BYTE_NS
    return Effort(stream_ns, _WEBP_LOSSY_PIXEL_NS + has_tables * _WEBP_ALPHA_PIXEL_NS)


def jpeg_effort(coding: JpegCoding | None, size_bytes: int) -> Effort:
    """Of a JPEG."""
    if coding is None:
        return NO_EFFORT
    if coding.is_lossless:
        stream_ns = size_bytes * _JPEG_BYTE_NS + coding.blocks * _JPEG_LOSSLESS_BLOCK_NS
    elif coding.visits:
        stream_ns = size_bytes * _JPEG_SCANS_BYTE_NS + coding.visits * _JPEG_VISIT_NS
        stream_ns += coding.blocks * _JPEG_KEPT_BLOCK_NS
        stream_ns += coding.blocks * _JPEG_SMOOTHED_BLOCK_NS * coding.is_smoothed
    else:
        stream_ns = size_bytes * _JPEG_BYTE_NS + coding.blocks * _JPEG_BLOCK_NS
    return Effort(stream_ns, _JPEG_PIXEL_NS + coding.components * _JPEG_SAMPLE_NS)


def tiff_effort(
    rows_bytes: float, tiles: int, size_bytes: int, compression: str, *, has_scans: bool
) -> Effort:
    """Of the first page of a TIFF.

    Args:
        rows_bytes: Of all its tiles, decompressed.
        tiles: Strips or tiles.
        size_bytes: Of the file.
        compression: Pillow's name for it.
        has_scans: Whether there may be a progressive JPEG stream in it.
    """
    row_byte_ns, byte_ns = _TIFF_NS.get(compression, _TIFF_OTHERS_NS)
    if has_scans:
        row_byte_ns = _TIFF_SCANS_BYTE_NS
    return Effort(rows_bytes * row_byte_ns + size_bytes * byte_ns + tiles * _TIFF_TILE_NS)


def require_effort(effort: Effort, image: Image.Image, limit_ms: float) -> None:
    """Refuse an image that would take too long; nothing of it has been decoded.

    Args:
        effort: What its header tells.
        image: Opened, and drafted where it will be.
        limit_ms: Time of one core.

    Raises:
        ImageTooLargeError: It would take longer.
    """
    pixels = image.width * image.height
    needed_ms = (effort.stream_ns + pixels * (effort.pixel_ns + flatten_ns(image))) / NS_PER_MS
    if needed_ms > limit_ms:
        raise ImageTooLargeError(
            f"Decoding the image can take {needed_ms:,.0f} ms of one core; the limit is "
            f"{limit_ms:g} ({SETTING}). Fewer pixels, or an ordinary JPEG, take less."
        )


class TimedFile(io.BytesIO):
    """A file that a decoder gets no more of once its time is up.

    Time is that of the thread that made it, and of nothing else: the decoder must run there.
    """

    def __init__(
        self, data: bytes, limit_ms: float, clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Start the clock.

        Args:
            data: The file.
            limit_ms: Time of the thread until the end.
            clock: Seconds that the thread has worked.
        """
        super().__init__(data)
        self._limit_ms = limit_ms
        self._clock = clock
        self._end_s = clock() + limit_ms / 1000

    def read(self, *args: Any) -> bytes:
        """Return the next bytes.

        Raises:
            ImageTooLargeError: The time is up.
        """
        if self._clock() > self._end_s:
            raise ImageTooLargeError(
                f"Decoding the image took {self._limit_ms:g} ms of one core and was stopped; that "
                f"is the limit ({SETTING})."
            )
        return super().read(*args)
