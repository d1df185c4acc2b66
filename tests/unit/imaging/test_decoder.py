from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from app.errors import (
    ClientFaultError,
    ImageDecodeError,
    ImageTooLargeError,
    InvalidRequestError,
    UnsupportedFormatError,
)
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import InputSpec
from tests.factories import images

POLICY = ImagingPolicy()
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


def spec(width: int = 32, height: int = 32, channels: int = 3) -> InputSpec:
    return InputSpec(height=height, width=width, channels=channels)


# ---- pixels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", LOSSLESS)
def test_fitting_rgb_image_keeps_its_pixels_exactly(format_name: str) -> None:
    pixels = images.noise(32, 32)
    data = images.encode(Image.fromarray(pixels), format_name, **LOSSLESS[format_name])

    decoded = decode_image(data, spec(), POLICY)

    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize("format_name", FORMATS)
def test_format_size_and_mode_are_those_of_the_file(format_name: str) -> None:
    image = images.noise_image(40, 25, "P" if format_name == "GIF" else "RGB")

    decoded = decode_image(images.encode(image, format_name), spec(), POLICY)

    assert decoded.pixels.shape == (32, 32, 3)
    assert (decoded.format, decoded.width, decoded.height, decoded.mode) == (
        (format_name, 40, 25, image.mode)
    )


def test_jpeg_has_the_pixels_that_pillow_decodes() -> None:
    data = images.encode(images.photo().resize((48, 32)), "JPEG", quality=90)

    decoded = decode_image(data, spec(48, 32), POLICY)

    np.testing.assert_array_equal(decoded.pixels, np.asarray(Image.open(images.file(data))))


def test_grey_network_gets_pillows_luma() -> None:
    image = images.noise_image(32, 32)

    decoded = decode_image(images.encode(image, "PNG"), spec(channels=1), POLICY)

    assert decoded.pixels.shape == (32, 32, 1)
    np.testing.assert_array_equal(decoded.pixels[..., 0], np.asarray(image.convert("L")))


def test_grey_image_fills_all_channels_of_an_rgb_network() -> None:
    pixels = images.noise(32, 32, 1)
    data = images.encode(Image.fromarray(pixels[..., 0]), "PNG")

    decoded = decode_image(data, spec(), POLICY)

    assert decoded.mode == "L"
    np.testing.assert_array_equal(decoded.pixels, np.repeat(pixels, 3, axis=2))


def test_pixels_are_read_only() -> None:
    data = images.encode(images.noise_image(32, 32), "PNG")

    assert not decode_image(data, spec(), POLICY).pixels.flags.writeable


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_accepted(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    pixels = images.noise(32, 32)
    data = kind(images.encode(Image.fromarray(pixels), "PNG"))

    np.testing.assert_array_equal(decode_image(data, spec(), POLICY).pixels, pixels)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF", "TIFF"])
def test_first_frame_of_an_animation_is_taken(format_name: str) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "lime", "blue")]
    options = {"save_all": True, "append_images": frames[1:]}
    if format_name == "WEBP":
        options["lossless"] = True

    decoded = decode_image(images.encode(frames[0], format_name, **options), spec(), POLICY)

    assert (decoded.pixels == (255, 0, 0)).all()


def test_multi_picture_jpeg_is_its_first_picture() -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    data = images.encode(frames[0], "MPO", save_all=True, append_images=frames[1:])

    decoded = decode_image(data, spec(), POLICY)

    assert decoded.format == "JPEG"
    assert decoded.pixels[16, 16, 0] > 250
    assert decoded.pixels[16, 16, 2] < 5


def test_many_threads_get_the_same_pixels_as_one() -> None:
    files = [images.encode(images.photo().resize((64, 48)), name) for name in FORMATS] * 8
    alone = [decode_image(data, spec(), POLICY).pixels for data in files]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode_image(data, spec(), POLICY).pixels, files))

    np.testing.assert_array_equal(together, alone)


# ---- orientation ----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
def test_image_is_turned_upright(format_name: str, orientation: int) -> None:
    upright = images.noise_image(32, 20)
    exif = images.orientation_exif(orientation)
    data = images.encode(
        images.stored_as(upright, orientation), format_name, exif=exif, **LOSSLESS[format_name]
    )

    decoded = decode_image(data, spec(32, 20), POLICY)

    assert (decoded.width, decoded.height) == (32, 20)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(upright))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_is_turned_upright(orientation: int) -> None:
    upright = images.photo().resize((64, 40))
    exif = images.orientation_exif(orientation)
    data = images.encode(images.stored_as(upright, orientation), "JPEG", quality=98, exif=exif)

    decoded = decode_image(data, spec(64, 40), POLICY)

    assert (decoded.width, decoded.height) == (64, 40)
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(upright))
    assert difference.mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "F"])
def test_every_kind_of_pixel_is_turned(mode: str) -> None:
    values = np.zeros((20, 32), np.uint8)
    values[0, :5] = 1  # the upper left corner
    if mode == "I;16":
        upright = Image.fromarray(values.astype(np.uint16) * 65535)
    else:
        upright = Image.fromarray(values * 255).convert(mode)
    format_name = "TIFF" if mode == "F" else "PNG"
    exif = images.orientation_exif(6)

    data = images.encode(images.stored_as(upright, 6), format_name, exif=exif)

    decoded = decode_image(data, spec(32, 20, 1), POLICY)
    np.testing.assert_array_equal(decoded.pixels[..., 0], values * 255)


# ---- limits ---------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_with_the_numbers_and_the_setting() -> None:
    data = images.huge_png(12_000, 10_000)

    with pytest.raises(ImageTooLargeError) as caught:
        decode_image(data, spec(), POLICY)

    assert str(caught.value) == (
        "The image has 120,000,000 pixels; the limit is 50,000,000 (KERASERVE_MAX_IMAGE_PIXELS)."
    )


@pytest.mark.parametrize(
    "data",
    [
        images.huge_png(30_000, 30_000),
        images.huge_png(2**31 - 1, 2**31 - 1),
        images.huge_webp(16_383, 16_383),
        images.huge_webp(2**24, 2**24),
        images.gif_with_frame((60_000, 60_000), (10, 10)),
        images.gif_with_frame((10, 10), (60_000, 60_000)),
        images.strip_tiff(b"0000", 30_000, 30_000),
        images.tile_bomb_tiff(8_000),
    ],
    ids=["png", "largest png", "webp", "largest webp", "gif screen", "gif frame", "tiff", "tile"],
)
def test_bomb_is_refused_whatever_pillows_own_limit_says(data: bytes) -> None:
    with pytest.raises(ImageTooLargeError, match="the limit is 50,000,000 "):
        decode_image(data, spec(), POLICY)


def test_limit_above_pillows_own_is_honoured() -> None:
    data = images.huge_png(20_000, 10_000)  # above twice Image.MAX_IMAGE_PIXELS

    with pytest.raises(ImageDecodeError):  # it went on to the pixels, of which most are missing
        decode_image(data, spec(), ImagingPolicy(max_image_pixels=200_000_000, max_decode_ms=1000))


def test_image_of_exactly_the_limit_is_decoded() -> None:
    data = images.encode(images.noise_image(20, 10), "PNG")

    assert decode_image(data, spec(), ImagingPolicy(max_image_pixels=200)).width == 20
    with pytest.raises(ImageTooLargeError):
        decode_image(data, spec(), ImagingPolicy(max_image_pixels=199))


def test_extremely_long_image_is_decoded() -> None:
    width = 8_000_000
    data = images.png([b"\xff" * (width // 8)], width, bit_depth=1, color_type=0)

    decoded = decode_image(data, spec(), POLICY)

    assert (decoded.width, decoded.height) == (width, 1)
    assert (decoded.pixels > 240).all()


# ---- errors ---------------------------------------------------------------------------------


def test_empty_file_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        decode_image(b"", spec(), POLICY)


@pytest.mark.parametrize(
    "data",
    [b"hello", b"\0", b"<svg/>", b"%PDF-1.7", b"P6 1 1 255 abc", b"RIFF\0\0\0\0WAVEfmt "],
)
def test_what_is_no_known_image_is_refused_with_the_enabled_formats(data: bytes) -> None:
    with pytest.raises(UnsupportedFormatError, match="PNG, JPEG, WEBP, BMP, GIF, TIFF"):
        decode_image(data, spec(), POLICY)


@pytest.mark.parametrize("format_name", FORMATS)
def test_format_that_is_not_enabled_is_refused(format_name: str) -> None:
    enabled = tuple(name for name in FORMATS if name != format_name)
    data = images.encode(images.noise_image(8, 8), format_name)

    with pytest.raises(UnsupportedFormatError) as caught:
        decode_image(data, spec(), ImagingPolicy(formats=enabled))

    assert format_name in str(caught.value)
    assert ", ".join(enabled) in str(caught.value)


def test_truncated_image_says_so() -> None:
    data = images.encode(images.noise_image(64, 64), "PNG")

    with pytest.raises(ImageDecodeError, match=r"PNG image cannot be decoded: .*truncated"):
        decode_image(data[: len(data) // 2], spec(), POLICY)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
def test_bare_signature_is_a_corrupt_image(data: bytes) -> None:
    with pytest.raises(ImageDecodeError):
        decode_image(data, spec(), POLICY)


def test_errors_reveal_no_addresses() -> None:
    for data in (b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0\x01", b"\xff\xd8\xff\xe0"):
        with pytest.raises(ClientFaultError) as caught:
            decode_image(data, spec(), POLICY)
        assert "0x" not in str(caught.value)


@pytest.mark.parametrize("limit", [0, -1])
def test_policy_refuses_a_limit_that_admits_nothing(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ImagingPolicy(max_image_pixels=limit)


@pytest.mark.parametrize(("formats", "named"), [(("PNG", "JPG"), "JPG"), ((), "none")])
def test_policy_refuses_formats_it_does_not_know(formats: tuple[str, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ImagingPolicy(formats=formats)
