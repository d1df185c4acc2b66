"""Makes images that cost their reader far more than their sender: one for each way that was found.

Each was above the bound of 100 ms before the check that stops it was there, or stands for the most
expensive file that passes. Sizes are chosen by callers: small ones for tests of the checks, full
ones for measuring (``python -m benchmarks.hostile_images``).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
from PIL import Image, ImageFile

from tests.factories import images
from tests.factories.bits import BitWriter, canonical_codes

_MOST_BYTES = 19_500_000  # below the default KERASERVE_MAX_UPLOAD_BYTES


# ---- PNG ------------------------------------------------------------------------------------


def flat_png(
    width: int, height: int, *, bit_depth: int, color_type: int, filter_type: int
) -> bytes:
    """A PNG of zeros, every row with one filter; a few kB for any size."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    row = bytes([filter_type]) + bytes(-(-width * bit_depth * samples // 8))
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    palette = [(b"PLTE", bytes(768)), (b"tRNS", bytes(256))] if color_type == 3 else []
    return _png(width, height, bit_depth, color_type, body, palette)


def deflate_tables_png(size_bytes: int) -> bytes:
    """A PNG of 64x64 px in blocks of deflate without any content, each with tables of its own."""
    return _png(64, 64, 8, 2, empty_deflate_blocks(size_bytes), [])


def palettes_png(count: int) -> bytes:
    """A PNG with this many descriptions of one transparent colour."""
    chunk = images.png_chunk(b"tRNS", bytes(6))
    return images.insert_png_chunks(
        images.encode(Image.new("RGB", (300, 300)), "PNG"), chunk * count
    )


def _png(
    width: int,
    height: int,
    bit_depth: int,
    color_type: int,
    body: bytes,
    chunks: list[tuple[bytes, bytes]],
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", body), (b"IEND", b"")]
    return images.PNG_SIGNATURE + b"".join(images.png_chunk(*part) for part in parts)


def empty_deflate_blocks(size_bytes: int) -> bytes:
    """A zlib stream that makes a decoder build two full tables of codes for every 30 bytes."""
    lengths = [8] * 226 + [9] * 60 + [4] * 2 + [5] * 28
    writer = BitWriter()
    writer.put(0, 1)  # not the last block
    writer.put(2, 2)  # with its own codes
    for value, bits in ((286 - 257, 5), (30 - 1, 5)):
        writer.put(value, bits)
    code_lengths = {16: 1, 8: 3, 9: 3, 4: 3, 5: 3}
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4)
    writer.put(len(order) - 4, 4)
    for symbol in order:
        writer.put(code_lengths.get(symbol, 0), 3)
    codes = canonical_codes([code_lengths.get(symbol, 0) for symbol in range(19)])
    for symbol, repeats in _run_lengths(lengths):
        writer.put_code(codes[symbol])
        if symbol == 16:
            writer.put(repeats - 3, 2)
    writer.put_code(canonical_codes(lengths[:286])[256])  # the end of the block
    block = writer.repeated(8)  # to a whole byte
    return b"\x78\x01" + block * (size_bytes // len(block))


def _run_lengths(lengths: list[int]) -> Iterator[tuple[int, int]]:
    before, at = -1, 0
    while at < len(lengths):
        run = 1
        while at + run < len(lengths) and lengths[at + run] == lengths[at] and run < 6:
            run += 1
        if lengths[at] == before and run >= 3:
            yield 16, run
            at += run
        else:
            yield lengths[at], 1
            before, at = lengths[at], at + 1


# ---- JPEG -----------------------------------------------------------------------------------


def scans_jpeg(side: int, *, mode: str = "RGB", scan: int = -1, scans: int = 99) -> bytes:
    """A progressive JPEG with one of its scans repeated: each is a pass over the whole image."""
    data = _progressive(Image.new(mode, (side, side)))
    starts = [*_scan_starts(data), len(data) - 2]
    at = scan % (len(starts) - 1)
    again = data[starts[at] : starts[at + 1]] * (scans - len(starts) + 1)
    return data[: starts[at + 1]] + again + data[starts[at + 1] :]


def first_scan_jpeg(side: int) -> bytes:
    """A progressive JPEG that ends after its first scan: the decoder guesses the rest, slowly."""
    pixels = images.noise_image(side // 8, side // 8).resize((side, side), Image.Resampling.NEAREST)
    data = _progressive(pixels)
    return data[: _scan_starts(data)[1]] + b"\xff\xd9"


def tables_jpeg(size_bytes: int) -> bytes:
    """A JPEG with quantisation tables again and again."""
    segment = images.jpeg_segment(0xDB, (b"\0" + b"\1" * 64) * 60)
    data = images.encode(Image.new("RGB", (64, 64)), "JPEG")
    return images.insert_jpeg_segments(data, segment * (size_bytes // len(segment)))


def _progressive(image: Image.Image) -> bytes:
    options = {"subsampling": 0} if image.mode == "RGB" else {}
    with _large_buffer():
        return images.encode(image, "JPEG", progressive=True, **options)


def _scan_starts(data: bytes) -> list[int]:
    found, at = [], data.find(b"\xff\xda")
    while at >= 0:
        found.append(at)
        at = data.find(b"\xff\xda", at + 2)
    return found


@contextmanager
def _large_buffer() -> Iterator[None]:
    """Let Pillow write progressive JPEGs of any size, which it does in one piece."""
    before, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, 1 << 26
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


# ---- GIF, BMP -------------------------------------------------------------------------------


def blocks_gif(size_bytes: int, block: bytes = b"!\xfe\x01x\0") -> bytes:
    """A GIF of 10x10 px behind comments of one letter each, or behind other blocks."""
    head, picture = _cut_gif()
    return head + block * (size_bytes // len(block)) + picture


def one_comment_gif(size_bytes: int) -> bytes:
    """A GIF of 10x10 px behind one comment in blocks of one letter."""
    head, picture = _cut_gif()
    return head + b"!\xfe" + b"\x01x" * (size_bytes // 2) + b"\0" + picture


def frames_gif(frames: int) -> bytes:
    """A GIF of so many frames, one px each."""
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * frames + b";"


def _cut_gif() -> tuple[bytes, bytes]:
    data = images.encode(Image.new("P", (10, 10)), "GIF")
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    return data[:at], data[data.index(b",", at) :]


def run_length_bmp(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of 8 bits per pixel whose rows are these runs, which Pillow undoes in Python."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    palette = bytes(range(256)) * 4
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + head + palette + runs


# ---- WebP, TIFF -----------------------------------------------------------------------------


def code_tables_webp(side: int) -> bytes:
    """A lossless WebP with five tables of codes for every tile of 4x4 px; one colour."""
    groups = min(65_536, (side // 4) ** 2)
    writer = BitWriter()
    for value, bits in ((0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3)):
        writer.put(value, bits)
    for value, bits in ((0, 1), (0, 1), (1, 1), (0, 3), (0, 1)):  # tables for each tile of 4x4
        writer.put(value, bits)
    for zeros in (24, 0):  # two bytes number a tile's tables: green and red
        _put_byte_codes(writer, zeros)
    for _ in range(3):
        writer.put(0b0001, 4)  # one symbol, 0
    codes = canonical_codes([8] * 256)
    for tile in range((side // 4) ** 2):
        table = tile % groups
        writer.put_code(codes[table & 255])
        writer.put_code(codes[table >> 8])
    for _ in range(groups * 5):
        writer.put(0b0001, 4)
    writer.put(0, 64)
    stream = writer.to_bytes()
    stream += b"\0" * (len(stream) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _put_byte_codes(writer: BitWriter, zeros: int) -> None:
    """Write codes of 8 bits for 256 symbols, and none for ``zeros`` more."""
    code_lengths = {8: 2, 16: 1, 0: 2}
    order = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)
    writer.put(0, 1)
    writer.put(len(order) - 4, 4)
    for symbol in order:
        writer.put(code_lengths.get(symbol, 0), 3)
    writer.put(0, 1)
    codes = canonical_codes([code_lengths.get(symbol, 0) for symbol in range(19)])
    writer.put_code(codes[8])
    for run in [6] * 42 + [3]:
        writer.put_code(codes[16])
        writer.put(run - 3, 2)
    for _ in range(zeros):
        writer.put_code(codes[0])


def tag_tiff(tag: int, kind: int, count: int, size_bytes: int) -> bytes:
    """A grey TIFF of 16x16 px with ``count`` values in one tag."""
    strip = [(273, 4, 1, 8), (278, 4, 1, 16), (279, 4, 1, 256)]
    tags = [entry for entry in [*images.tiff_tags(16, 16), *strip] if entry[0] != tag]
    return images.tiff([*tags, (tag, kind, count, 300)], bytes(size_bytes))


def deflate_tables_tiff(size_bytes: int) -> bytes:
    """As ``deflate_tables_png``."""
    body = empty_deflate_blocks(size_bytes)
    strip = [(273, 4, 1, 0), (278, 4, 1, 64), (279, 4, 1, len(body))]
    return images.tiff([*images.tiff_tags(64, 64, compression=8), *strip], body, content_tag=273)


def flat_tiff(side: int, mode: str, compression: str) -> bytes:
    """A TIFF of zeros."""
    return images.encode(Image.new(mode, (side, side)), "TIFF", compression=compression)


def flat_webp(side: int, mode: str, *, lossless: bool) -> bytes:
    """A WebP of zeros."""
    image = Image.new(mode, (side, side))
    return images.encode(image, "WEBP", lossless=lossless, quality=0, method=0)


def noise_webp(side: int) -> bytes:
    """A lossy WebP with as much detail as the format can hold."""
    return images.encode(images.noise_image(side, side), "WEBP", quality=100, method=0)


def noise_jpeg(side: int, *, progressive: bool) -> bytes:
    """A JPEG with as much detail as the format can hold."""
    with _large_buffer():
        return images.encode(
            images.noise_image(side, side), "JPEG", quality=95, progressive=progressive
        )


def noise_gif(side: int) -> bytes:
    """A GIF that does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    return images.encode(Image.fromarray(pixels), "GIF")


REFUSED: dict[str, Callable[[], bytes]] = {
    "PNG, 49 MP of 64 bits": partial(
        flat_png, 7070, 7000, bit_depth=16, color_type=6, filter_type=4
    ),
    "PNG, 49 MP in a palette": partial(
        flat_png, 7070, 7000, bit_depth=8, color_type=3, filter_type=4
    ),
    "PNG, 19 MB of empty deflate blocks": partial(deflate_tables_png, _MOST_BYTES),
    "PNG, 9 MB of empty deflate blocks": partial(deflate_tables_png, 9_000_000),
    "PNG, 65,000 transparent colours": partial(palettes_png, 65_000),
    "JPEG, 99 scans of 50 MP": partial(scans_jpeg, 7070),
    "JPEG, 99 scans of 4 MP": partial(scans_jpeg, 2000),
    "JPEG, first scan of 50 MP": partial(first_scan_jpeg, 7064),
    "JPEG, 15 MB of quantisation tables": partial(tables_jpeg, 15_000_000),
    "WebP, 49 MP lossy": partial(flat_webp, 7000, "RGBA", lossless=False),
    "WebP, 49 MP lossless": partial(flat_webp, 7000, "RGBA", lossless=True),
    "WebP, 65,536 code tables in 1 MP": partial(code_tables_webp, 1024),
    "WebP, 4.8 MP of noise": partial(noise_webp, 2200),
    "GIF, 4 million comments": partial(blocks_gif, _MOST_BYTES),
    "GIF, 20 million stray bytes": partial(blocks_gif, _MOST_BYTES, b"\x01"),
    "GIF, a comment of 10 million blocks": partial(one_comment_gif, _MOST_BYTES),
    "BMP, 10 million runs of one px": partial(run_length_bmp, 3150, 3150, b"\1\7" * 9_700_000),
    "BMP, two ends of lines for 50 MP": partial(run_length_bmp, 5_000_000, 10, b"\0\0\1\1" * 10),
    "TIFF, 49 MP of 32 bits": partial(flat_tiff, 7000, "I", "tiff_adobe_deflate"),
    "TIFF, 49 MP in LZMA": partial(flat_tiff, 7000, "RGBA", "lzma"),
    "TIFF, 19 MB of empty deflate blocks": partial(deflate_tables_tiff, _MOST_BYTES),
    "TIFF, 3.7 million bit depths": partial(tag_tiff, 258, 3, 3_700_000, 15_000_000),
}
"""What costs more than 100 ms unless it is refused by its head, or stopped."""

DECODED: dict[str, Callable[[], bytes]] = {
    "PNG, 6.2 MP of 24 bits": partial(
        flat_png, 2500, 2500, bit_depth=8, color_type=2, filter_type=4
    ),
    "PNG, 1.5 MP of 64 bits": partial(
        flat_png, 1250, 1200, bit_depth=16, color_type=6, filter_type=4
    ),
    "PNG, 1.5 MB of empty deflate blocks": partial(deflate_tables_png, 1_500_000),
    "JPEG, 99 scans of 2.2 MP": partial(scans_jpeg, 1500),
    "JPEG, first scan of 8 MP": partial(first_scan_jpeg, 2800),
    "JPEG, 9 MP of noise": partial(noise_jpeg, 3000, progressive=False),
    "JPEG, 3 MP of noise, progressive": partial(noise_jpeg, 1700, progressive=True),
    "WebP, 8 MP lossy": partial(flat_webp, 2850, "RGB", lossless=False),
    "WebP, code tables in 0.16 MP": partial(code_tables_webp, 400),
    "WebP, 2.8 MP lossless": lambda: images.encode(
        images.photo().resize((2000, 1400)), "WEBP", lossless=True, quality=80, method=4
    ),
    "WebP, 1.3 MP lossy with alpha": lambda: images.encode(
        images.noise_image(1150, 1150, "RGBA"), "WEBP", quality=90, method=0
    ),
    "WebP, 1.4 MP of noise": partial(noise_webp, 1150),
    "GIF, a million frames": partial(frames_gif, 1_000_000),
    "GIF, 12 MP of noise": partial(noise_gif, 3500),
    "GIF, 16,000 stray bytes": partial(blocks_gif, 16_000, b"\1"),
    "BMP, 1.1 MP of runs": partial(run_length_bmp, 50_000, 22, b"\0\0\1\7" * 21),
    "TIFF, 3.8 MP of 32 bits": partial(flat_tiff, 1950, "I", "tiff_adobe_deflate"),
    "TIFF, 3.7 million resolutions": partial(tag_tiff, 282, 5, 1_800_000, 15_000_000),
    "TIFF, 28,000 strips": partial(images.many_tiles_tiff, 28_000),
}
"""The most expensive that passes, as far as it was found; each within 100 ms."""
