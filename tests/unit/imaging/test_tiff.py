from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageDecodeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.tiff import strip_tiff
from app.types import InputSpec
from tests.factories import images

MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB")


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.asarray(Image.open(images.file(data)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("big_tiff", [False, True])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_what_is_left_has_the_same_pixels(mode: str, compression: str, big_tiff: bool) -> None:
    source = "L" if mode in ("I;16", "F") else "RGB"  # what Pillow converts from
    is_lab = mode == "LAB"
    image = Image.new(mode, (40, 25)) if is_lab else images.noise_image(40, 25, source)
    image = image if is_lab else image.convert(mode)
    exif = images.orientation_exif(1)
    exif[0x010E] = "a description"
    data = images.encode(image, "TIFF", compression=compression, big_tiff=big_tiff, exif=exif)

    stripped = strip_tiff(data)

    assert len(stripped) == len(data)
    assert 0x010E not in Image.open(images.file(stripped)).getexif()
    np.testing.assert_array_equal(pixels(stripped), pixels(data))


def test_later_pages_are_dropped() -> None:
    pages = [Image.new("L", (8, 8), level) for level in (1, 2, 3)]
    data = images.encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])

    assert getattr(Image.open(images.file(strip_tiff(data))), "n_frames") == 1  # noqa: B009


def test_first_of_two_equal_tags_counts() -> None:
    data = images.strip_tiff(bytes(64), 8, 8)
    tags = [(256, 4, 1, 8), (256, 4, 1, 2**31), *images.tiff_tags(8, 8)[1:]]
    strip = [(273, 4, 1, 0), (278, 4, 1, 8), (279, 4, 1, 64)]
    twice = images.tiff([*tags, *strip], bytes(64), content_tag=273)

    np.testing.assert_array_equal(pixels(strip_tiff(twice)), pixels(data))


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"XX*\0" + bytes(20)])
def test_file_without_a_directory_is_left_as_it_is(data: bytes) -> None:
    assert strip_tiff(data) is data


@pytest.mark.parametrize("end", range(8, 200, 7))
def test_cut_file_stays_as_long_as_it_is(end: int) -> None:
    data = images.strip_tiff(bytes(64), 8, 8)[:end]

    assert len(strip_tiff(data)) == len(data)


def test_directory_of_more_entries_than_encoders_write_is_refused() -> None:
    tags = [(1000 + number, 4, 1, 0) for number in range(4_100)]

    with pytest.raises(ValueError, match=r"4,100 entries; the limit is 4,096"):
        strip_tiff(images.tiff(tags))


def test_tiles_are_counted_without_reading_them() -> None:
    with pytest.raises(ValueError, match=r"70,000 tiles"):
        strip_tiff(images.many_tiles_tiff(70_000)[:200])


def test_tiles_of_a_big_tiff_are_counted() -> None:
    entry = struct.pack(">HHQQ", 324, 16, 1_000_000, 0)

    with pytest.raises(ValueError, match=r"1,000,000 tiles"):
        strip_tiff(b"MM\0+" + struct.pack(">HHQQ", 8, 0, 16, 1) + entry)


def test_exif_and_gps_directories_are_not_read() -> None:
    tags = [(34665, 4, 1, 8), (34853, 4, 1, 8), (40965, 4, 1, 8)]  # all of them this one
    strip = [(273, 4, 1, 0), (278, 4, 1, 8), (279, 4, 1, 64)]
    data = images.tiff([*images.tiff_tags(8, 8), *strip, *tags], bytes(64), content_tag=273)

    assert decode_image(data, InputSpec(8, 8, 1), ImagingPolicy()).width == 8


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageDecodeError):
        decode_image(images.tiff(images.tiff_tags(8, 8)), InputSpec(8, 8, 1), ImagingPolicy())
