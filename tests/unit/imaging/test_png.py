from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageDecodeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.png import read_bit_depth, strip_png
from app.types import InputSpec
from tests.factories import images

PIXELS = images.noise(8, 8)
PLAIN = images.encode(Image.fromarray(PIXELS), "PNG")
IEND = images.png_chunk(b"IEND", b"")


def decoded(data: bytes) -> object:
    return decode_image(data, InputSpec(8, 8, 3), ImagingPolicy()).pixels


def test_file_without_metadata_is_not_copied() -> None:
    data, exif = strip_png(PLAIN)

    assert data is PLAIN
    assert exif is None


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"acTL", b"xxXx"])
def test_chunks_without_pixels_are_dropped_before_and_after_the_pixels(kind: bytes) -> None:
    chunk = images.png_chunk(kind, b"content")
    data = images.insert_png_chunks(PLAIN, chunk * 2)
    data = data.removesuffix(IEND) + chunk + IEND

    assert strip_png(data) == (PLAIN, None)


def test_exif_is_found_wherever_it_stands() -> None:
    chunk = images.png_chunk(b"eXIf", b"II*\0")

    assert strip_png(images.insert_png_chunks(PLAIN, chunk)) == (PLAIN, b"II*\0")
    assert strip_png(PLAIN.removesuffix(IEND) + chunk + IEND) == (PLAIN, b"II*\0")


def test_what_follows_the_image_is_not_read() -> None:
    data = PLAIN + images.png_chunk(b"zTXt", b"") + b"garbage"

    assert strip_png(data)[0] is data


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_bombs_are_ignored(kind: bytes) -> None:
    data = images.insert_png_chunks(PLAIN, images.text_bomb_chunk(kind) * 100)

    np.testing.assert_array_equal(decoded(data), PIXELS)


def test_text_bombs_of_a_truncated_file_are_dropped_too() -> None:
    bombs = images.insert_png_chunks(PLAIN, images.text_bomb_chunk(b"iCCP") * 3)

    assert b"iCCP" not in strip_png(bombs[:-20])[0]
    assert b"iCCP" not in strip_png(bombs[:3000])[0]


def test_endless_chunks_are_refused() -> None:
    data = images.insert_png_chunks(PLAIN, images.png_chunk(b"IDAT", b"") * 70_000)

    with pytest.raises(ImageDecodeError, match="more than 65,536 chunks"):
        decoded(data)


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
def test_bit_depth_is_that_of_the_header(bit_depth: int) -> None:
    data = images.png([bytes(2)], 1, bit_depth=bit_depth, color_type=0)

    assert read_bit_depth(data) == bit_depth
