from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.resize import draft, resize
from app.types import InputSpec, Interpolation, ResizeMode
from tests.factories import images

INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")
RESIZE_MODES: tuple[ResizeMode, ...] = ("stretch", "crop", "pad")


def spec(
    width: int,
    height: int,
    resize_mode: ResizeMode = "stretch",
    interpolation: Interpolation = "bilinear",
) -> InputSpec:
    return InputSpec(height, width, 3, resize_mode, interpolation)


def stripes(*colors: str, width: int, height: int, vertical: bool = True) -> Image.Image:
    """Equal stripes of these colours."""
    row = Image.new("RGB", (len(colors), 1))
    for x, color in enumerate(colors):
        row.paste(color, (x, 0, x + 1, 1))
    if not vertical:
        row = row.transpose(Image.Transpose.TRANSPOSE)
    return row.resize((width, height), Image.Resampling.NEAREST)


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_fitting_image_is_not_touched(mode: ResizeMode, interpolation: Interpolation) -> None:
    image = images.noise_image(30, 20)

    assert resize(image, spec(30, 20, mode, interpolation)) is image


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (31, 33), (999, 1)])
def test_result_has_the_wanted_size(mode: ResizeMode, size: tuple[int, int]) -> None:
    assert resize(images.noise_image(*size), spec(32, 24, mode)).size == (32, 24)


def test_stretch_shows_the_whole_image() -> None:
    image = stripes("red", "lime", "blue", width=300, height=20)

    pixels = np.asarray(resize(image, spec(30, 30)))

    assert pixels[15, [2, 15, 27]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize("vertical", [True, False], ids=["wide", "tall"])
def test_crop_shows_the_centre_without_distortion(vertical: bool) -> None:
    size = (300, 100) if vertical else (100, 300)
    image = stripes("red", "lime", "blue", width=size[0], height=size[1], vertical=vertical)

    pixels = np.asarray(resize(image, spec(20, 20, "crop")))

    inner = pixels[:, 1:-1] if vertical else pixels[1:-1]  # the filter reaches over the edge
    assert (inner == (0, 255, 0)).all()


@pytest.mark.parametrize("vertical", [True, False], ids=["wide", "tall"])
def test_pad_shows_the_whole_image_between_black_bars(vertical: bool) -> None:
    image = Image.new("RGB", (200, 100) if vertical else (100, 200), "white")

    pixels = np.asarray(resize(image, spec(20, 20, "pad")))

    if not vertical:
        pixels = pixels.transpose(1, 0, 2)
    assert (pixels[:5] == 0).all()
    assert (pixels[5:15] == 255).all()
    assert (pixels[15:] == 0).all()


def test_pad_does_not_resample_what_fits() -> None:
    image = images.noise_image(20, 10)

    pixels = np.asarray(resize(image, spec(20, 20, "pad")))

    np.testing.assert_array_equal(pixels[5:15], np.asarray(image))


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_pad_keeps_at_least_one_row_or_column(size: tuple[int, int]) -> None:
    pixels = np.asarray(resize(Image.new("RGB", size, "white"), spec(16, 16, "pad")))

    assert (pixels == 255).any()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_reducing_is_antialiased(interpolation: Interpolation) -> None:
    checkerboard = np.indices((256, 256)).sum(axis=0) % 2 * 255
    image = Image.fromarray(checkerboard.astype(np.uint8))

    pixels = np.asarray(resize(image, spec(32, 32, "stretch", interpolation))).astype(int)

    assert np.abs(pixels - 127).max() <= 12  # the mean grey; single pixels would be 0 or 255


def test_nearest_repeats_pixels_when_enlarging() -> None:
    image = images.noise_image(10, 8)

    pixels = np.asarray(resize(image, spec(40, 24, "stretch", "nearest")))

    np.testing.assert_array_equal(pixels, np.asarray(image).repeat(3, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_two_steps_for_big_images_show_what_one_would(interpolation: Interpolation) -> None:
    photo = images.photo("flower")
    filters = {**{name: name.upper() for name in INTERPOLATIONS}, "nearest": "BOX"}
    at_once = photo.resize((24, 24), Image.Resampling[filters[interpolation]])

    pixels = np.asarray(resize(photo, spec(24, 24, "stretch", interpolation))).astype(int)

    assert np.abs(pixels - np.asarray(at_once)).mean() < 1


# ---- big JPEGs ------------------------------------------------------------------------------


def sharp_photo(width: int = 2560, height: int = 1708, name: str = "china") -> Image.Image:
    """A photograph repeated in mirror images: big, with detail down to single pixels."""
    row = np.concatenate(
        [np.asarray(images.photo(name)), np.asarray(images.photo(name))[:, ::-1]], 1
    )
    tile = np.concatenate([row, row[::-1]])
    return Image.fromarray(np.tile(tile, (2, 2, 1))[:height, :width])


def opened(data: bytes) -> JpegImageFile:
    return JpegImageFile(images.file(data))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (spec(32, 32), (320, 214)),
        (spec(106, 71), (320, 214)),
        (spec(107, 71), (640, 427)),
        (spec(210, 140), (640, 427)),
        (spec(400, 280), (1280, 854)),
        (spec(500, 200), (2560, 1708)),
        (spec(100, 100), (640, 427)),
        (spec(100, 100, "crop"), (640, 427)),
        (spec(100, 100, "pad"), (320, 214)),
        (spec(32, 32, "stretch", "nearest"), (2560, 1708)),
    ],
    ids=str,
)
def test_jpeg_is_decoded_at_three_times_the_target_or_more(
    target: InputSpec, expected: tuple[int, int]
) -> None:
    image = opened(images.encode(Image.new("RGB", (2560, 1708)), "JPEG"))

    extent = draft(image, target)

    assert image.size == expected
    assert extent in (None, (expected[0], 1708 / (2560 / expected[0])))


@pytest.mark.parametrize("size", [(2560, 1708), (2551, 1703), (2553, 1601)], ids=str)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_jpeg_decoded_small_looks_as_decoded_whole(
    size: tuple[int, int], interpolation: Interpolation
) -> None:
    data = images.encode(sharp_photo(*size), "JPEG", quality=90)
    target = spec(96, 64, "stretch", interpolation)
    whole = resize(opened(data), target)

    decoded = decode_image(data, target, ImagingPolicy())

    assert (decoded.width, decoded.height, decoded.mode) == (*size, "RGB")
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(whole))
    assert difference.mean() < 0.6
    assert difference[:-1, :-1].max() <= 10
    assert difference.max() <= 20  # the last blocks of the file are filled up beyond the edge


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("orientation", [1, 3, 6, 7, 8])
def test_big_turned_jpeg_shows_the_upright_photo(mode: ResizeMode, orientation: int) -> None:
    upright = sharp_photo(2551, 1703, "flower")
    exif = images.orientation_exif(orientation)
    stored = images.stored_as(upright, orientation)
    target = spec(96, 60, mode)

    decoded = decode_image(
        images.encode(stored, "JPEG", quality=95, exif=exif), target, ImagingPolicy()
    )

    assert (decoded.width, decoded.height) == (2551, 1703)
    difference = np.abs(decoded.pixels.astype(int) - np.asarray(resize(upright, target)))
    assert difference.mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_big_jpeg_is_decoded_small_whichever_way_it_is_turned(orientation: int) -> None:
    upright, target = sharp_photo(2551, 1703), spec(96, 60)
    stored = images.stored_as(upright, orientation)
    data = images.encode(stored, "JPEG", exif=images.orientation_exif(orientation))
    small = opened(data)
    as_stored = spec(*((60, 96) if orientation >= 5 else (96, 60)))
    extent = draft(small, as_stored)
    assert max(small.size) == 319  # an eighth
    turn_back = {6: 8, 8: 6}.get(orientation, orientation)
    expected = images.stored_as(resize(small, as_stored, extent), turn_back)

    decoded = decode_image(data, target, ImagingPolicy())

    np.testing.assert_array_equal(decoded.pixels, np.asarray(expected))
