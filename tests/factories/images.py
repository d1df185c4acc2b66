"""Makes encoded images: by format, by mode, and with every defect the decoder must survive."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.types import ImageArray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4

TiffTag = tuple[int, int, int, int]
"""Tag number, type, count, and the value or the offset of the values."""


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def file(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


def noise(width: int, height: int, channels: int = 3, *, seed: int = 0) -> ImageArray:
    """Random pixels: any shift, swap or rounding shows."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def noise_image(width: int, height: int, mode: str = "RGB", *, seed: int = 0) -> Image.Image:
    return Image.fromarray(noise(width, height, seed=seed)).convert(mode)


def photo(name: str = "china") -> Image.Image:
    """One of scikit-learn's sample photographs, 640x427: ``china`` or ``flower``."""
    spec = importlib.util.find_spec("sklearn")  # its import would take a second
    assert spec is not None, "scikit-learn is a dev dependency"
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "images" / f"{name}.jpg"
    return Image.open(io.BytesIO(path.read_bytes()))


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    return exif


def stored_as(upright: Image.Image, orientation: int) -> Image.Image:
    """What a camera stores so that ``orientation`` brings it back to ``upright``."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(undo[orientation]) if orientation in undo else upright


# ---- PNG ------------------------------------------------------------------------------------


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    rows: Iterable[bytes],
    width: int,
    *,
    bit_depth: int,
    color_type: int,
    chunks: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of rows as the format stores them, for what Pillow cannot write."""
    stored = list(rows)
    header = struct.pack(">IIBBBBB", width, len(stored), bit_depth, color_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in stored))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(kind, content) for kind, content in parts)


def huge_png(width: int, height: int) -> bytes:
    """A one-bit PNG of this size in its header, with the pixels of a few rows."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(kind, content) for kind, content in parts)


def insert_png_chunks(data: bytes, chunks: bytes) -> bytes:
    """Put chunks right behind the header of a PNG."""
    after_header = len(PNG_SIGNATURE) + 25
    return data[:after_header] + chunks + data[after_header:]


def text_bomb_chunk(kind: bytes, size_bytes: int = 2_000_000) -> bytes:
    """A ``zTXt``, ``iTXt`` or ``iCCP`` chunk that inflates to ``size_bytes``."""
    heads = {b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0", b"iCCP": b"name\0\0"}
    return png_chunk(kind, heads[kind] + zlib.compress(bytes(size_bytes), 9))


# ---- JPEG -----------------------------------------------------------------------------------


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def insert_jpeg_segments(data: bytes, segments: bytes) -> bytes:
    """Put segments right behind the first marker of a JPEG."""
    return data[:2] + segments + data[2:]


def scans_bomb_jpeg(scans: int, size: int = 64) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    data = encode(Image.new("L", (size, size)), "JPEG", progressive=True)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last_scan * scans + data[-2:]


# ---- WebP, GIF, TIFF ------------------------------------------------------------------------


def huge_webp(width: int, height: int) -> bytes:
    """The header of an extended WebP with a canvas of this size, and no image in it."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gif_with_frame(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF whose first frame may be larger than its screen; without pixels."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0)
    return head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x08\x00;"


def tiff(tags: Iterable[TiffTag], content: bytes = b"", *, content_tag: int | None = None) -> bytes:
    """A little-endian TIFF of these tags; ``content_tag``'s value becomes content's offset."""
    entries = sorted(tags)
    offset = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(
        struct.pack("<HHII", tag, kind, count, offset if tag == content_tag else value)
        for tag, kind, count, value in entries
    )
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    return head + directory + struct.pack("<I", 0) + content


def tiff_tags(width: int, height: int, *, bits: int = 8, compression: int = 1) -> list[TiffTag]:
    """The tags that a grey TIFF needs, without those that say where its pixels are."""
    return [
        (256, _LONG, 1, width),
        (257, _LONG, 1, height),
        (258, _SHORT, 1, bits),
        (259, _SHORT, 1, compression),
        (262, _SHORT, 1, 1),
        (277, _SHORT, 1, 1),
    ]


def strip_tiff(content: bytes, width: int, height: int, *, bits: int = 8) -> bytes:
    """An uncompressed grey TIFF in one strip."""
    strip = [(273, _LONG, 1, 0), (278, _LONG, 1, height), (279, _LONG, 1, len(content))]
    return tiff([*tiff_tags(width, height, bits=bits), *strip], content, content_tag=273)


def tile_bomb_tiff(side: int) -> bytes:
    """A grey TIFF of 16x16 px that is the corner of one deflated tile of ``side`` squared."""
    content = zlib.compress(bytes(side * side), 9)
    tile = [
        (322, _LONG, 1, side),
        (323, _LONG, 1, side),
        (324, _LONG, 1, 0),
        (325, _LONG, 1, len(content)),
    ]
    return tiff([*tiff_tags(16, 16, compression=8), *tile], content, content_tag=324)


def many_tiles_tiff(tiles: int) -> bytes:
    """An uncompressed grey TIFF, one column wide, with a strip for each row."""
    offsets = struct.pack(f"<{tiles}I", *[0] * tiles)
    strips = [(273, _LONG, tiles, 0), (278, _LONG, 1, 1)]
    return tiff([*tiff_tags(1, tiles), *strips], offsets, content_tag=273)
