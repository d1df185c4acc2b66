from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.imaging.color import flatten
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import ImageArray, InputSpec
from tests.factories import images

MODES = (
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV",
    "I", "I;16", "I;16B", "I;16L", "F",
)  # fmt: skip


def decode(data: bytes, width: int, height: int, channels: int = 3) -> ImageArray:
    spec = InputSpec(height=height, width=width, channels=channels)
    return decode_image(data, spec, ImagingPolicy()).pixels


def flat(image: Image.Image, bit_depth: int = 8) -> NDArray[np.uint8]:
    return np.asarray(flatten(image, bit_depth))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_grey_or_rgb(mode: str) -> None:
    bit_depth = 16 if mode.startswith("I;16") else 8

    image = flatten(Image.new(mode, (3, 2)), bit_depth)

    assert image.mode in ("L", "RGB")
    assert image.size == (3, 2)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_finished_image_is_not_copied(mode: str) -> None:
    image = images.noise_image(4, 4, mode)

    assert flatten(image, 8) is image


# ---- alpha ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (200, 100, 0, 51), (244, 224, 204)),
        ("LA", (0, 0), 255),
        ("LA", (100, 255), 100),
        ("LA", (100, 51), 224),
    ],
)
def test_alpha_is_composited_over_white(
    mode: str, color: tuple[int, ...], expected: int | tuple[int, ...]
) -> None:
    assert (flat(Image.new(mode, (2, 2), color)) == expected).all()


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha_looks_as_straight_alpha(mode: str) -> None:
    straight = images.noise_image(8, 8, "RGB" if mode == "RGBa" else "L")
    straight.putalpha(images.noise_image(8, 8, "L", seed=1))

    difference = flat(straight.convert(mode)).astype(int) - flat(straight)

    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
def test_alpha_of_a_file_is_composited_over_white(format_name: str) -> None:
    pixels = images.noise(16, 16, 4)
    options = {"lossless": True, "exact": True} if format_name == "WEBP" else {}
    data = images.encode(Image.fromarray(pixels), format_name, **options)

    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(decode(data, 16, 16) - expected).max() <= 1


def test_palette_with_one_transparent_entry_shows_white_there() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)

    for format_name in ("PNG", "GIF"):
        data = images.encode(image, format_name, transparency=0)
        assert decode(data, 2, 1).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_palette_with_partly_transparent_entries_is_composited() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    data = images.encode(image, "PNG", transparency=bytes([51, 255]))

    assert decode(data, 2, 1).tolist() == [[[255, 204, 204], [0, 0, 255]]]


def test_palette_with_alpha_channel_is_composited() -> None:
    image = images.noise_image(4, 4).quantize(8).convert("PA")
    image.putalpha(0)

    assert (decode(images.encode(image, "TIFF"), 4, 4) == 255).all()


def test_gif_without_palette_can_have_a_transparent_grey() -> None:
    image = Image.fromarray(np.array([[7, 8]], np.uint8))
    data = images.encode(image, "GIF", transparency=7)

    assert decode(data, 2, 1, 1).ravel().tolist() == [255, 8]


@pytest.mark.parametrize(
    ("bit_depth", "row", "key", "expected"),
    [
        (1, b"\x40", 0, [255, 255, 255, 255]),
        (1, b"\x40", 1, [0, 255, 0, 0]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),
        (4, b"\x02\xf1", 2, [0, 255, 255, 17]),
        (8, b"\x00\x02\xff\x01", 2, [0, 255, 255, 1]),
        (16, b"\x00\x00\x02\x00\x02\x01\xff\xff", 0x0200, [0, 255, 2, 255]),
    ],
)
def test_transparent_grey_of_a_png_is_white_in_every_depth(
    bit_depth: int, row: bytes, key: int, expected: list[int]
) -> None:
    chunks = [(b"tRNS", key.to_bytes(2, "big"))]
    data = images.png([row], 4, bit_depth=bit_depth, color_type=0, chunks=chunks)

    assert decode(data, 4, 1, 1).ravel().tolist() == expected


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_transparent_color_of_a_png_is_white(bit_depth: int) -> None:
    row = bytes([10, 20, 30, 10, 20, 31])
    if bit_depth == 16:
        row = b"".join(bytes([value, value]) for value in row)
    key = b"\x0a\x0a\x14\x14\x1e\x1e" if bit_depth == 16 else b"\x00\x0a\x00\x14\x00\x1e"
    data = images.png([row], 2, bit_depth=bit_depth, color_type=2, chunks=[(b"tRNS", key)])

    assert decode(data, 2, 1).tolist() == [[[255, 255, 255], [10, 20, 31]]]


# ---- more than 8 bits -----------------------------------------------------------------------

WIDE = [0, 255, 256, 0x7FFF, 0x8000, 0xFF00, 0xFFFF]
NARROW = [0, 0, 1, 0x7F, 0x80, 0xFF, 0xFF]


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_is_scaled_not_clipped(format_name: str, order: str) -> None:
    mode = "I;16" if order == "<" else "I;16B"
    values = np.array([WIDE], f"{order}u2")
    image = Image.frombytes(mode, (len(WIDE), 1), values.tobytes())

    data = images.encode(image, format_name)

    assert decode(data, len(WIDE), 1, 1).ravel().tolist() == NARROW


@pytest.mark.parametrize(
    ("color_type", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["L", "RGB", "LA", "RGBA"]
)
def test_16_bit_png_is_scaled_in_every_color_type(color_type: int, samples: int) -> None:
    opaque = [0xFFFF] if color_type in (4, 6) else []
    pixels = [[value] * (samples - len(opaque)) + opaque for value in WIDE]
    row = np.array(pixels, ">u2").tobytes()

    data = images.png([row], len(WIDE), bit_depth=16, color_type=color_type)

    assert decode(data, len(WIDE), 1)[0].tolist() == [[value] * 3 for value in NARROW]


def test_12_bit_tiff_is_scaled_to_its_depth() -> None:
    data = images.strip_tiff(bytes([0xFF, 0xF8, 0x00]), 2, 1, bits=12)  # 4095, 2048

    assert decode(data, 2, 1, 1).ravel().tolist() == [255, 128]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.int32, [0, 7, 255], [0, 7, 255]),
        (np.int32, [-9, 128, 200], [0, 128, 200]),
        (np.int32, [0, 32768, 65535], [0, 128, 255]),
        (np.int32, [0, 400_000, 2_000_000], [0, 51, 255]),
        (np.int32, [0, 1, 1], [0, 1, 1]),
        (np.int32, [-3, -2, -1], [0, 0, 0]),
        (np.float32, [0, 0.2, 1], [0, 51, 255]),
        (np.float32, [0, 1.5, 255], [0, 2, 255]),
        (np.float32, [0, 257, 65535], [0, 1, 255]),
        (np.float32, [0, 1e30, 5e30], [0, 51, 255]),
        (np.float32, [0, 0, 0], [0, 0, 0]),
        (np.float32, [np.nan, 0.2, np.inf], [0, 51, 255]),
        (np.float32, [-np.inf, -3e38, 0.2], [0, 0, 51]),
        (np.float32, [np.nan, np.nan, np.nan], [0, 0, 0]),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else "",
)
def test_32_bit_values_are_scaled_by_the_range_they_keep_to(
    dtype: type[np.generic], values: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype))

    data = images.encode(image, "TIFF")

    assert decode(data, len(values), 1, 1).ravel().tolist() == expected


# ---- colour spaces --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "HSV", "CMYK"])
def test_other_color_spaces_come_back_to_the_same_colors(mode: str) -> None:
    photo = images.photo().resize((32, 24))

    difference = flat(photo.convert(mode)).astype(int) - np.asarray(photo)

    assert np.abs(difference).mean() < 3


def test_lab_reaches_a_grey_network() -> None:
    photo = images.photo().resize((32, 24))
    data = images.encode(photo.convert("LAB"), "TIFF")

    difference = decode(data, 32, 24, 1)[..., 0].astype(int) - np.asarray(photo.convert("L"))

    assert np.abs(difference).mean() < 3


def test_cmyk_jpeg_is_not_inverted() -> None:
    image = Image.new("RGB", (16, 16), (250, 250, 250)).convert("CMYK")

    assert decode(images.encode(image, "JPEG", quality=95), 16, 16).min() > 240


def test_no_conversion_warns() -> None:
    image = images.noise_image(4, 4).quantize(8)
    data = images.encode(image, "PNG", transparency=bytes(range(0, 256, 32)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(data, 4, 4, 1)
