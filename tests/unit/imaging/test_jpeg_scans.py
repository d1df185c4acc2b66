from __future__ import annotations

import pytest
from PIL import Image

from app.errors import ImageDecodeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.jpeg_scans import JpegCoding, read_coding
from app.types import InputSpec
from tests.factories import hostile, images


def coding(data: bytes) -> JpegCoding:
    found = read_coding(data)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("mode", "subsampling", "components", "blocks"),
    [
        ("L", 0, 1, 4 * 3),
        ("RGB", 0, 3, 3 * 4 * 3),
        ("RGB", 2, 3, 4 * 3 + 2 * 2 * 2),
        ("CMYK", 0, 4, 4 * 4 * 3),
    ],
)
def test_blocks_of_all_components_are_counted(
    mode: str, subsampling: int, components: int, blocks: int
) -> None:
    data = images.encode(Image.new(mode, (30, 20)), "JPEG", subsampling=subsampling)

    assert coding(data) == JpegCoding(components, blocks, 0, False, False)


def test_each_scan_of_a_progressive_jpeg_visits_its_components() -> None:
    data = images.encode(Image.new("L", (64, 64)), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")

    assert coding(data).visits == 64 * scans
    assert coding(hostile.scans_jpeg(64, mode="L", scans=50)).visits == 64 * 50


def test_whole_progressive_jpeg_is_not_smoothed_and_its_first_scan_is() -> None:
    whole = images.encode(images.noise_image(64, 64), "JPEG", progressive=True)

    assert not coding(whole).is_smoothed
    assert coding(hostile.first_scan_jpeg(64)).is_smoothed


def test_components_in_scans_of_their_own_are_visited() -> None:
    data = images.encode(images.noise_image(16, 16), "JPEG", subsampling=0)
    at = data.index(b"\xff\xda")
    first = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"\0" * 8
    second = b"\xff\xda\0\x0a\x02\x02\0\x03\0\0\x3f\0" + b"\0" * 8

    assert coding(data[:at] + first + second + b"\xff\xd9").visits == 4 + 2 * 4


def test_lossless_jpeg_is_known() -> None:
    data = images.encode(Image.new("L", (16, 16)), "JPEG")

    assert coding(data.replace(b"\xff\xc0", b"\xff\xc3")).is_lossless


@pytest.mark.parametrize("marker", [0xC9, 0xCA])
def test_arithmetic_coding_is_refused(marker: int) -> None:
    # Larger than what is decoded without a file object, which knows ordinary files only.
    data = images.encode(images.noise_image(300, 300), "JPEG", quality=98)
    data = data.replace(b"\xff\xc0", bytes([0xFF, marker]))

    with pytest.raises(ImageDecodeError, match="coded arithmetically"):
        decode_image(data, InputSpec(8, 8, 3), ImagingPolicy())


def test_file_without_a_frame_has_no_coding() -> None:
    data = images.encode(Image.new("L", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0")

    assert read_coding(data[:at]) is None
    assert read_coding(data[: at + 6]) is None
    assert read_coding(b"\xff\xd8\xff") is None


def test_filling_and_stray_bytes_between_segments_are_passed() -> None:
    data = images.encode(Image.new("L", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0")

    assert coding(data[:at] + b"\xff\xff" + data[at:]).blocks == 4
    assert coding(data[:at] + b"\0\x01\xff\x01" + data[at:]).blocks == 4
