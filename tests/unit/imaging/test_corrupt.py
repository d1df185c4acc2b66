"""Whatever the bytes: an image or one of our errors, nothing else."""

from __future__ import annotations

import random

import pytest
from PIL import GifImagePlugin, Image

from app.errors import ClientFaultError, ImageDecodeError, OutOfMemoryError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import InputSpec
from tests.factories import images

SPEC = InputSpec(16, 16, 3)
POLICY = ImagingPolicy(max_image_pixels=1_000_000)


def photo(mode: str = "RGB") -> Image.Image:
    return images.photo().resize((40, 30)).convert(mode)


def files() -> dict[str, bytes]:
    exif = images.orientation_exif(6)
    return {
        "png": images.encode(photo(), "PNG", exif=exif),
        "png palette": images.encode(photo("P"), "PNG", transparency=bytes(range(256))),
        "jpeg": images.encode(photo(), "JPEG", exif=exif),
        "jpeg progressive": images.encode(photo(), "JPEG", progressive=True),
        "jpeg cmyk": images.encode(photo("CMYK"), "JPEG"),
        "webp": images.encode(photo(), "WEBP", exif=exif),
        "webp lossless": images.encode(photo("RGBA"), "WEBP", lossless=True),
        "bmp": images.encode(photo(), "BMP"),
        "bmp palette": images.encode(photo("P"), "BMP"),
        "gif": images.encode(photo("P"), "GIF", transparency=3),
        "tiff": images.encode(photo(), "TIFF", exif=exif),
        "tiff lzw": images.encode(photo(), "TIFF", compression="tiff_lzw"),
        "tiff jpeg": images.encode(photo(), "TIFF", compression="jpeg"),
        "tiff float": images.encode(photo("F"), "TIFF", compression="tiff_adobe_deflate"),
    }


FILES = files()


def is_answered(data: bytes) -> bool:
    """Whether the bytes gave an image; an exception that is not ours fails the test."""
    try:
        decoded = decode_image(data, SPEC, POLICY)
    except ClientFaultError:
        return False
    assert decoded.pixels.shape == SPEC.shape
    return True


@pytest.mark.parametrize("name", FILES)
def test_whole_file_is_decoded(name: str) -> None:
    assert is_answered(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_file_cut_anywhere_is_an_image_or_our_error(name: str) -> None:
    data = FILES[name]

    answers = [is_answered(data[:end]) for end in range(0, len(data), 16)]

    assert not all(answers)


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_an_image_or_our_error(name: str) -> None:
    generator = random.Random(name)
    for _ in range(100):
        data = bytearray(FILES[name])
        for _ in range(generator.choice((1, 2, 8))):
            position = generator.randrange(generator.choice((64, len(data))))
            data[position] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        is_answered(bytes(data))


@pytest.mark.parametrize("start", [data[:16] for data in FILES.values()], ids=list(FILES))
def test_noise_behind_a_signature_is_an_image_or_our_error(start: bytes) -> None:
    generator = random.Random(0)
    for _ in range(20):
        is_answered(start + generator.randbytes(300))


def test_exif_that_points_nowhere_is_ignored() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 60_000):
        assert is_answered(images.encode(photo(), "JPEG", exif=exif))


def test_pixels_beyond_the_limit_are_not_decoded_for_a_damaged_size() -> None:
    data = images.huge_png(1001, 1000)

    assert not is_answered(data)


def test_file_that_asks_for_more_memory_than_there_could_be_is_corrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "load", load)
    content = images.encode(images.noise_image(8, 8), "GIF")
    with pytest.raises(ImageDecodeError, match="truncated or corrupt"):
        decode_image(content, SPEC, POLICY)
    # As if there were no memory for the largest image: more than can be addressed.
    with pytest.raises(OutOfMemoryError, match="KERASERVE_MAX_IMAGE_PIXELS"):
        decode_image(content, SPEC, ImagingPolicy(max_image_pixels=2**50))
