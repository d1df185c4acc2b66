from __future__ import annotations

import pytest

from app.errors import ImageDecodeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.jpeg import strip_jpeg
from app.types import DecodedImage, InputSpec
from tests.factories import images

PLAIN = images.encode(images.photo().resize((32, 32)), "JPEG")
EXIF = b"Exif\0\0II*\0"


def decode(data: bytes) -> DecodedImage:
    return decode_image(data, InputSpec(32, 32, 3), ImagingPolicy())


def test_file_without_metadata_is_not_copied() -> None:
    data, exif = strip_jpeg(PLAIN)

    assert data is PLAIN
    assert exif is None


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xEF, 0xFE, 0xF0, 0xC8])
def test_segments_without_pixels_are_dropped(marker: int) -> None:
    segment = images.jpeg_segment(marker, b"content")

    assert strip_jpeg(images.insert_jpeg_segments(PLAIN, segment * 2)) == (PLAIN, None)


def test_segments_that_tell_the_colour_space_are_kept() -> None:
    adobe = images.jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
    data = images.insert_jpeg_segments(PLAIN, adobe)

    assert strip_jpeg(data)[0] is data


def test_first_exif_block_is_found() -> None:
    xmp = images.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    first, second = (images.jpeg_segment(0xE1, EXIF + tail) for tail in (b"1", b"2"))
    data = images.insert_jpeg_segments(PLAIN, xmp + first + second)

    assert strip_jpeg(data) == (PLAIN, EXIF + b"1")


def test_junk_between_segments_is_dropped() -> None:
    junk = b"junk\xff\x00\xff" + images.jpeg_segment(0xFE, b"comment") + b"\0\0"

    assert strip_jpeg(PLAIN[:20] + junk + PLAIN[20:])[0] == PLAIN


@pytest.mark.parametrize("end", [3, 5, 21, 60])
def test_metadata_of_a_truncated_file_are_dropped_too(end: int) -> None:
    data = images.insert_jpeg_segments(PLAIN, images.jpeg_segment(0xE1, EXIF * 20))

    assert b"Exif" not in strip_jpeg(data[:end])[0]


def test_exif_bomb_is_refused() -> None:
    segment = images.jpeg_segment(0xE1, b"Exif\0\0" + bytes(94))
    data = images.insert_jpeg_segments(PLAIN, segment * 5000)

    with pytest.raises(ImageDecodeError, match="more than 4,096 segments"):
        decode(data)


def test_progressive_jpeg_is_decoded() -> None:
    data = images.encode(images.photo().resize((32, 32)), "JPEG", progressive=True)

    assert (decode(data).pixels == decode(PLAIN).pixels).all()


def test_scans_bomb_is_refused() -> None:
    with pytest.raises(ImageDecodeError, match="more than 100 scans"):
        decode(images.scans_bomb_jpeg(200))


@pytest.mark.parametrize("hidden_in", [b"\xff\x01", images.jpeg_segment(0xFE, b"\xff\xd9")])
def test_scans_cannot_be_hidden_from_the_count(hidden_in: bytes) -> None:
    data = images.scans_bomb_jpeg(200)
    first_scan = data.index(b"\xff\xda")
    second_scan = data.index(b"\xff\xda", first_scan + 2)

    with pytest.raises(ImageDecodeError, match="more than 100 scans"):
        decode(data[:second_scan] + hidden_in + data[second_scan:])


def test_video_behind_a_photo_is_not_counted_as_scans() -> None:
    video = b"\xff\xda\x00\x02" * 500

    assert (decode(PLAIN + video).pixels == decode(PLAIN).pixels).all()
