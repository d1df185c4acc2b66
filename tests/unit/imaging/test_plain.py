"""The short way gives what the long way gives: pixels, descriptions, errors and their words.

A file that is padded with metadata beyond what the short way reads takes the long one, and both
hand the same bytes to Pillow after stripping.
"""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ClientFaultError, ImageTooLargeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.plain import load_plain
from app.types import InputSpec
from tests.factories import images

POLICY = ImagingPolicy(max_image_pixels=1_000_000)
SPECS = (InputSpec(12, 16, 3), InputSpec(12, 16, 1), InputSpec(32, 32, 3, "pad", "bicubic"))
WIDTH, HEIGHT = 16, 12
PADDING_BYTES = 65_536
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
KINDS = [(color, depth) for color, depths in DEPTHS.items() for depth in depths]


def padded(data: bytes) -> bytes:
    """The same file to a decoder that strips it, but too long for the short way."""
    if data.startswith(b"\x89PNG"):
        return images.insert_png_chunks(data, images.png_chunk(b"teXt", bytes(PADDING_BYTES)))
    comment = images.jpeg_segment(0xFE, bytes(PADDING_BYTES // 2))
    return images.insert_jpeg_segments(data, comment * 2)


def outcome(data: bytes, spec: InputSpec) -> tuple[Any, ...]:
    """The picture and what it was, or the error and its words."""
    try:
        decoded = decode_image(data, spec, POLICY)
    except ClientFaultError as error:
        return type(error), str(error)
    size = decoded.width, decoded.height
    return decoded.pixels.tobytes(), decoded.format, size, decoded.mode


def assert_both_ways_agree(data: bytes, specs: Iterable[InputSpec] = SPECS) -> None:
    for spec in specs:
        assert outcome(data, spec) == outcome(padded(data), spec)


def is_plain(data: bytes, spec: InputSpec = SPECS[0], max_pixels: int = 1_000_000) -> bool:
    format_name = "PNG" if data.startswith(b"\x89PNG") else "JPEG"
    return load_plain(data, format_name, spec, max_pixels) is not None


def png(
    color: int,
    depth: int,
    *,
    filtering: Iterable[int] = (0,),
    methods: tuple[int, int, int] = (0, 0, 0),
    before: bytes = b"",
    after: bytes = b"",
    idat_bytes: int = 100_000,
    seed: int = 0,
) -> bytes:
    """A PNG of random rows; under any filter, any bytes are the rows of some picture."""
    generator = random.Random(seed)
    row_bytes = (WIDTH * SAMPLES[color] * depth + 7) // 8
    filters = itertools.cycle(filtering)
    rows = [bytes([next(filters)]) + generator.randbytes(row_bytes) for _ in range(HEIGHT)]
    if methods[2]:  # interlaced: each byte can begin a row
        rows = [bytes(generator.choices(range(5), k=4 * HEIGHT * (row_bytes + 8)))]
    body = zlib.compress(b"".join(rows))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, *methods)
    if color == PALETTE:
        before = images.png_chunk(b"PLTE", generator.randbytes(3 * min(1 << depth, 256))) + before
    parts = [body[at : at + idat_bytes] for at in range(0, len(body), idat_bytes)]
    return b"".join(
        [
            images.PNG_SIGNATURE,
            images.png_chunk(b"IHDR", header),
            before,
            *(images.png_chunk(b"IDAT", part) for part in parts),
            after,
            images.png_chunk(b"IEND", b""),
        ]
    )


def jpeg(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    return images.encode(images.photo().resize(size).convert(mode), "JPEG", **options)


def without_end(data: bytes) -> bytes:
    return data.removesuffix(images.png_chunk(b"IEND", b""))


PLAIN_PNGS = {
    "grey": png(GREY, 8),
    "rgb": png(RGB, 8, filtering=range(5)),
    "grey and alpha": png(GREY_ALPHA, 8, filtering=range(5)),
    "rgb and alpha": png(RGB_ALPHA, 8, filtering=range(5)),
    "many short IDAT": png(RGB, 8, idat_bytes=20),
    "text before": png(RGB, 8, before=images.png_chunk(b"tEXt", b"a\0b")),
    "text after": png(RGB, 8, after=images.png_chunk(b"zTXt", b"broken")),
    "unknown critical chunk": png(RGB, 8, before=images.png_chunk(b"ABCD", b"?")),
    "text with a wrong checksum": png(RGB, 8, before=b"\0\0\0\1tEXtabcde"),
    "gamma and profile": png(
        RGB, 8, before=images.png_chunk(b"gAMA", b"\0\1\2\3") + images.png_chunk(b"iCCP", b"x")
    ),
    "exif": png(RGB, 8, before=images.png_chunk(b"eXIf", images.orientation_exif(8).tobytes())),
    "two exif": png(
        RGB,
        8,
        before=images.png_chunk(b"eXIf", images.orientation_exif(6).tobytes()),
        after=images.png_chunk(b"eXIf", images.orientation_exif(3).tobytes()),
    ),
    "garbage behind": png(RGB, 8) + b"garbage",
}
OTHER_PNGS = {
    "transparent grey": png(GREY, 8, before=images.png_chunk(b"tRNS", b"\0\1")),
    "transparent colour": png(RGB, 8, before=images.png_chunk(b"tRNS", b"\0\1\0\2\0\3")),
    "suggested palette": png(RGB, 8, before=images.png_chunk(b"PLTE", bytes(30))),
    "transparency behind": png(RGB, 8, after=images.png_chunk(b"tRNS", bytes(6))),
    "second header": png(
        RGB, 8, before=images.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
    ),
    "unknown filter": png(RGB, 8, filtering=(0, 5)),
    "unknown colour type": png(RGB, 8).replace(b"\x08\x02\0\0\0", b"\x08\x07\0\0\0"),
    "compression method": png(RGB, 8, methods=(1, 0, 0)),
    "filter method": png(RGB, 8, methods=(0, 1, 0)),
    "interlace method 2": png(RGB, 8, methods=(0, 0, 2)),
    "checksum of the header": png(RGB, 8).replace(b"\x08\x02\0\0\0", b"\x08\x00\0\0\0"),
    "no IDAT": png(RGB, 8)[:33] + images.png_chunk(b"IEND", b""),
    "empty IDAT": png(RGB, 8)[:33] + images.png_chunk(b"IDAT", b"") + png(RGB, 8)[-12:],
    "no IEND": without_end(png(RGB, 8)),
    "many chunks": png(RGB, 8, before=images.png_chunk(b"tEXt", b"") * 100),
    "no zlib stream": png(RGB, 8).replace(b"IDAT\x78", b"IDAT\x79"),
}
PLAIN_JPEGS = {
    "rgb": jpeg(),
    "grey": jpeg("L"),
    "444": jpeg(subsampling=0),
    "optimised": jpeg(optimize=True),
    "progressive": jpeg(progressive=True),
    "restarts": jpeg(restart_marker_blocks=1),
    "exif": jpeg(exif=images.orientation_exif(6)),
    "adobe": images.insert_jpeg_segments(
        jpeg(), images.jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
    ),
    "comment": jpeg(comment=b"a comment"),
    "profile": jpeg(icc_profile=bytes(1000)),
    "not in blocks": jpeg(size=(13, 9)),
    "to be reduced": jpeg(size=(95, 71)),
    "garbage behind": jpeg() + b"garbage",
}
OTHER_JPEGS = {
    "no end": jpeg().removesuffix(b"\xff\xd9"),
    "cmyk": jpeg("CMYK"),
    "reduced in the decoder": jpeg(size=(128, 96)),
    "filling before a marker": jpeg()[:2] + b"\xff" + jpeg()[2:],
    "junk before a marker": jpeg()[:20] + b"junk" + jpeg()[20:],
    "short JFIF": images.insert_jpeg_segments(jpeg(), images.jpeg_segment(0xE0, b"JFIF\0")),
    "short Adobe": images.insert_jpeg_segments(jpeg(), images.jpeg_segment(0xEE, b"Adobe")),
    "no length": images.insert_jpeg_segments(jpeg(), b"\xff\xfe\0\0"),
    "reserved marker": images.insert_jpeg_segments(jpeg(), images.jpeg_segment(0xF3, b"12345678")),
    "12 bits": jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
    "lossless frame": jpeg().replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"),
    "no pixels": jpeg().replace(b"\xff\xc0\0\x11\x08\0\x0c", b"\xff\xc0\0\x11\x08\0\0"),
    "second frame": images.insert_jpeg_segments(
        jpeg(), images.jpeg_segment(0xC0, b"\x08\0\x40\0\x40\1\1\x11\0")
    ),
    "no frame": jpeg().replace(b"\xff\xc0", b"\xff\xfe"),
    "no quantisation table": jpeg().replace(b"\xff\xdb", b"\xff\xfe"),
    "many segments": images.insert_jpeg_segments(
        jpeg(), images.jpeg_segment(0xFE, b"12345678") * 100
    ),
}
PLAIN = {
    **{f"png {name}": data for name, data in PLAIN_PNGS.items()},
    **{f"jpeg {name}": data for name, data in PLAIN_JPEGS.items()},
}
OTHER = {
    **{f"png {name}": data for name, data in OTHER_PNGS.items()},
    **{f"jpeg {name}": data for name, data in OTHER_JPEGS.items()},
}


@pytest.mark.parametrize("name", PLAIN)
def test_ordinary_file_takes_the_short_way_to_the_same_picture(name: str) -> None:
    data = PLAIN[name]

    assert is_plain(data)
    assert not is_plain(padded(data))
    assert_both_ways_agree(data)


@pytest.mark.parametrize("name", OTHER)
def test_anything_else_takes_the_long_way(name: str) -> None:
    data = OTHER[name]

    assert not is_plain(data)
    assert_both_ways_agree(data)


@pytest.mark.parametrize(("color", "depth"), KINDS)
@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "interlaced"])
def test_every_kind_of_png_is_the_same_picture_both_ways(
    color: int, depth: int, interlaced: bool
) -> None:
    methods = (0, 0, int(interlaced))
    for filters in [(0,), (1,), (2,), (3,), (4,), (4, 0, 2, 3, 1)]:
        for idat_bytes in (37, 100_000):
            data = png(color, depth, filtering=filters, methods=methods, idat_bytes=idat_bytes)
            assert is_plain(data) == (depth == 8 and color != PALETTE and not interlaced)
            assert_both_ways_agree(data)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_orientation_is_the_same_picture_both_ways(mode: str, orientation: int) -> None:
    exif = images.orientation_exif(orientation)
    for format_name in ("PNG", "JPEG"):
        data = images.encode(images.noise_image(WIDTH, HEIGHT, mode), format_name, exif=exif)
        assert is_plain(data)
        assert_both_ways_agree(data)


@pytest.mark.parametrize("name", [*PLAIN, *OTHER])
def test_file_cut_anywhere_has_the_same_outcome_both_ways(name: str) -> None:
    data = (PLAIN | OTHER)[name]
    first = 33 if name.startswith("png") else 3  # the padding stands before that

    for end in range(first, len(data), 16):
        assert_both_ways_agree(data[:end], SPECS[:1])


@pytest.mark.parametrize("name", [*PLAIN, *OTHER])
def test_damaged_file_has_the_same_outcome_both_ways(name: str) -> None:
    generator = random.Random(name)
    for _ in range(60):
        data = bytearray((PLAIN | OTHER)[name])
        for _ in range(generator.choice((1, 2, 8))):
            position = generator.randrange(8, generator.choice((min(80, len(data)), len(data))))
            data[position] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        if not name.startswith("png") or data[8:16] == b"\0\0\0\rIHDR":
            assert_both_ways_agree(bytes(data), SPECS[:1])


def test_picture_that_ends_early_is_black_below_both_ways() -> None:
    rows = b"".join(b"\0" + b"\xff" * 3 * WIDTH for _ in range(HEIGHT // 2))
    whole = png(RGB, 8)
    data = whole[:33] + images.png_chunk(b"IDAT", zlib.compress(rows)) + whole[-12:]
    spec = InputSpec(HEIGHT, WIDTH, 3)

    for _ in range(3):  # never what another picture left in memory
        decode_image(images.encode(images.noise_image(WIDTH, HEIGHT), "PNG"), spec, POLICY)
        assert_both_ways_agree(data)


@pytest.mark.parametrize("rows", [1, HEIGHT // 2, HEIGHT - 1])
def test_picture_that_ends_early_has_the_same_outcome_however_it_is_divided(rows: int) -> None:
    body = zlib.compress(bytes(rows * (1 + 3 * WIDTH)))
    whole = png(RGB, 8)
    for place in range(len(body) + 1):
        parts = (images.png_chunk(b"IDAT", part) for part in (body[:place], body[place:]))
        assert_both_ways_agree(whole[:33] + b"".join(parts) + whole[-12:], SPECS[:1])


def test_pixels_beyond_the_limit_are_not_decoded() -> None:
    for data in (png(RGB, 8), jpeg()):
        assert is_plain(data, max_pixels=WIDTH * HEIGHT)
        assert not is_plain(data, max_pixels=WIDTH * HEIGHT - 1)
        with pytest.raises(ImageTooLargeError, match=r"192 pixels; the limit is 191 "):
            decode_image(data, SPECS[0], ImagingPolicy(max_image_pixels=WIDTH * HEIGHT - 1))


def test_large_picture_in_a_small_file_takes_the_long_way() -> None:
    data = images.encode(Image.new("RGB", (1000, 500)), "PNG")

    assert len(data) < PADDING_BYTES
    assert not is_plain(data)
    assert decode_image(data, SPECS[0], POLICY).width == 1000


def test_scans_bomb_is_refused_on_the_short_way() -> None:
    with pytest.raises(ValueError, match="more than 100 scans"):
        load_plain(images.scans_bomb_jpeg(200), "JPEG", InputSpec(64, 64, 1), 1_000_000)


@pytest.mark.parametrize("format_name", ["WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats_take_the_long_way(format_name: str) -> None:
    data = images.encode(images.noise_image(WIDTH, HEIGHT), format_name)

    assert load_plain(data, format_name, SPECS[0], 1_000_000) is None


def test_pixels_of_the_short_way_are_read_only() -> None:
    pixels = decode_image(jpeg(), SPECS[0], POLICY).pixels

    assert is_plain(jpeg())
    assert not pixels.flags.writeable
    assert pixels.dtype == np.uint8
    assert pixels.shape == SPECS[0].shape
