from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.webp import strip_webp
from app.types import InputSpec
from tests.factories import images

SPEC = InputSpec(16, 12, 3)
JUNK = b"JUNK\0\0\0\0"


def frames(mode: str = "RGB", *, lossless: bool = True) -> bytes:
    pictures = [images.noise_image(12, 16, mode, seed=seed) for seed in range(4)]
    options = {"save_all": True, "append_images": pictures[1:], "lossless": lossless}
    return images.encode(pictures[0], "WEBP", exif=images.orientation_exif(3), **options)


def still(mode: str = "RGB", *, lossless: bool = True) -> bytes:
    image = images.noise_image(12, 16, mode)
    image.putalpha(100) if mode == "RGBA" else None
    return images.encode(image, "WEBP", lossless=lossless)


def with_junk(data: bytes, count: int) -> bytes:
    size = int.from_bytes(data[4:8], "little") + count * len(JUNK)
    return data[:4] + struct.pack("<I", size) + data[8:] + JUNK * count


FILES = {
    "lossy": still(lossless=False),
    "lossless": still(),
    "alpha": still("RGBA", lossless=False),
    "animation": frames(),
    "lossy animation": frames(lossless=False),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_left_is_the_first_picture(name: str) -> None:
    stripped, _ = strip_webp(with_junk(FILES[name], 3))

    assert JUNK not in stripped
    image = Image.open(images.file(stripped))
    assert getattr(image, "n_frames", 1) == 1
    expected = Image.open(images.file(FILES[name]))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert image.getexif() == expected.getexif()


@pytest.mark.parametrize("name", ["lossy", "lossless", "alpha"])
def test_plain_file_is_left_as_it_is(name: str) -> None:
    assert strip_webp(FILES[name])[0] is FILES[name]


@pytest.mark.parametrize(
    ("name", "is_lossless"),
    [("lossy", False), ("lossless", True), ("alpha", True), ("lossy animation", False)],
)
def test_lossless_streams_are_found(name: str, is_lossless: bool) -> None:
    _, picture = strip_webp(FILES[name])

    assert picture.is_lossless is is_lossless
    assert 0 < picture.size_bytes < len(FILES[name])


def test_profile_and_xmp_are_dropped() -> None:
    data = images.encode(Image.new("RGB", (8, 8)), "WEBP", icc_profile=b"icc", xmp=b"xmp")

    info = Image.open(images.file(strip_webp(data)[0])).info
    assert "icc_profile" not in info
    assert "xmp" not in info


@pytest.mark.parametrize("name", FILES)
def test_cut_file_stays_cut(name: str) -> None:
    data = FILES[name]

    for end in range(12, len(data), 5):
        assert len(strip_webp(data[:end])[0]) <= end


@pytest.mark.parametrize("name", FILES)
def test_what_follows_the_file_is_none_of_it(name: str) -> None:
    tail = JUNK * 5 + FILES["lossy"]

    for data in (FILES[name], with_junk(FILES[name], 2)):
        stripped, picture = strip_webp(data + tail)
        assert picture == strip_webp(data)[1]
        np.testing.assert_array_equal(
            np.asarray(Image.open(images.file(stripped))),
            np.asarray(Image.open(images.file(data))),
        )


def test_more_chunks_than_encoders_write_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 16,384 chunks"):
        strip_webp(with_junk(FILES["lossy"], 17_000))


def test_more_chunks_in_a_frame_than_encoders_write_are_refused() -> None:
    frame = b"ANMF" + struct.pack("<I", 16 + 65 * len(JUNK)) + bytes(16) + JUNK * 65

    with pytest.raises(ValueError, match="more than 64 chunks"):
        strip_webp(b"RIFF\xff\xff\0\0WEBP" + frame)


def test_junk_in_a_frame_is_dropped() -> None:
    picture = still()[12:]
    size = struct.pack("<I", 16 + len(picture) + len(JUNK))
    place = bytes(6) + (11).to_bytes(3, "little") + (15).to_bytes(3, "little") + bytes(4)
    head = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + place[6:12]
    anim = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    chunks = head + anim + b"ANMF" + size + place + JUNK + picture
    data = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks

    assert JUNK not in strip_webp(data)[0]
    decoded = decode_image(data, SPEC, ImagingPolicy())
    np.testing.assert_array_equal(
        decoded.pixels, np.asarray(Image.open(images.file(still())).convert("RGB"))
    )
