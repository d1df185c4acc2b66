"""An image that would take too long is refused by its head, whatever makes it take long."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
from PIL import Image

from app.errors import ImageDecodeError, ImageTooLargeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.effort import TimedFile
from app.types import InputSpec
from tests.factories import hostile, images

SPEC = InputSpec(16, 16, 3)
SMALL_LIMIT = ImagingPolicy(max_decode_ms=2)
WHOLE = "whole"

COSTLY: dict[str, Callable[[], bytes]] = {
    "png of many pixels": partial(
        hostile.flat_png, 900, 900, bit_depth=8, color_type=6, filter_type=4
    ),
    "png of 64 bits": partial(
        hostile.flat_png, 400, 400, bit_depth=16, color_type=6, filter_type=0
    ),
    "png in a transparent palette": partial(
        hostile.flat_png, 700, 700, bit_depth=8, color_type=3, filter_type=0
    ),
    "jpeg of many bytes": partial(hostile.noise_jpeg, 600, progressive=False),
    "jpeg that ends after its first scan": partial(hostile.first_scan_jpeg, 512),
    "webp": partial(hostile.flat_webp, 512, "RGB", lossless=False),
    "webp of many bytes": partial(hostile.noise_webp, 256),
    "webp that may have many tables": partial(hostile.code_tables_webp, 128),
    "webp with an alpha channel": partial(hostile.flat_webp, 420, "RGBA", lossless=False),
    "gif": lambda: images.encode(Image.new("P", (800, 800)), "GIF"),
    "bmp": lambda: images.encode(Image.new("RGB", (900, 900)), "BMP"),
    "bmp of run lengths": partial(hostile.run_length_bmp, 200, 200, b"\xff\7" * 200),
    "tiff": partial(hostile.flat_tiff, 500, "I", "tiff_lzw"),
    "tiff of deflate": partial(hostile.deflate_tables_tiff, 40_000),
    "tiff of many strips": partial(images.many_tiles_tiff, 1_000),
    "tiff of jpeg": partial(hostile.flat_tiff, 1000, "RGB", "jpeg"),
}
DRAFTED = {"jpeg of many bytes", "jpeg that ends after its first scan"}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_image_is_refused_with_what_it_takes_and_the_setting(name: str) -> None:
    data = COSTLY[name]()

    with pytest.raises(
        ImageTooLargeError, match=r"can take [1-9][\d,]* ms of one core; the limit is 2 "
        r"\(KERASERVE_MAX_DECODE_MS\)",
    ):  # fmt: skip
        decode_image(data, SPEC, SMALL_LIMIT)


@pytest.mark.parametrize("name", [name for name in COSTLY if not name.startswith("webp")])
def test_costly_image_is_refused_before_its_pixels_are_looked_at(name: str) -> None:
    whole = COSTLY[name]()
    cut = whole if name.startswith("tiff") else whole[: len(whole) - len(whole) // 8]

    with pytest.raises(ImageTooLargeError):
        decode_image(cut, SPEC, SMALL_LIMIT)


@pytest.mark.parametrize(
    "name", [name for name in COSTLY if name not in ("bmp of run lengths", "tiff of deflate")]
)
def test_costly_image_is_decoded_where_its_time_is_allowed(name: str) -> None:
    decoded = decode_image(COSTLY[name](), SPEC, ImagingPolicy(max_decode_ms=1000))

    assert decoded.pixels.shape == SPEC.shape


def test_scans_of_a_jpeg_count_each() -> None:
    few, many = (hostile.scans_jpeg(640, scans=scans) for scans in (12, 99))
    limit = ImagingPolicy(max_decode_ms=10)

    assert decode_image(few, SPEC, limit).width == 640
    with pytest.raises(ImageTooLargeError):
        decode_image(many, SPEC, limit)


def test_scans_of_a_jpeg_inside_of_a_tiff_count_too() -> None:
    data = hostile.flat_tiff(300, "RGB", "jpeg")
    limit = ImagingPolicy(max_decode_ms=5)

    assert decode_image(data, SPEC, limit).width == 300
    with pytest.raises(ImageTooLargeError):
        decode_image(data.replace(b"\xff\xc0", b"\xff\xc2"), SPEC, limit)


def test_first_frame_alone_counts() -> None:
    frames = [images.noise_image(64, 64, seed=seed) for seed in range(40)]
    limit = ImagingPolicy(max_decode_ms=2)

    for format_name in ("WEBP", "PNG"):
        data = images.encode(
            frames[0], format_name, save_all=True, append_images=frames[1:], quality=90
        )
        assert decode_image(data, SPEC, limit).width == 64


def test_big_jpeg_costs_what_is_decoded_of_it() -> None:
    data = images.encode(images.photo().resize((3000, 2000)), "JPEG")
    limit = ImagingPolicy(max_decode_ms=20)

    assert decode_image(data, SPEC, limit).width == 3000
    with pytest.raises(ImageTooLargeError):
        decode_image(data, InputSpec(1000, 1000, 3), limit)


def test_png_that_takes_longer_than_its_header_lets_expect_is_stopped() -> None:
    data = hostile.deflate_tables_png(2_000_000)  # 18 ms by its size, six times as much in fact

    with pytest.raises(ImageTooLargeError, match=r"took 20 ms .* stopped.*KERASERVE_MAX_DECODE_MS"):
        decode_image(data, SPEC, ImagingPolicy(max_decode_ms=20))


def test_png_that_is_timed_has_the_pixels_of_one_that_is_not() -> None:
    data = images.encode(images.noise_image(400, 300), "PNG")  # 360 kB: would be timed up to 21 ms

    timed = decode_image(data, SPEC, ImagingPolicy(max_decode_ms=20))
    untimed = decode_image(data, SPEC, ImagingPolicy(max_decode_ms=math.inf))

    assert (timed.pixels == untimed.pixels).all()


def test_timed_file_gives_its_bytes_until_the_time_is_up() -> None:
    now_s = 5.0
    file = TimedFile(b"abcdef", 100, clock=lambda: now_s)

    now_s = 5.1
    assert file.read(2) == b"ab"
    now_s = 5.11
    with pytest.raises(ImageTooLargeError, match="100 ms"):
        file.read(2)


@pytest.mark.parametrize("limit_ms", [0, -1, math.nan])
def test_time_must_be_some(limit_ms: float) -> None:
    with pytest.raises(ValueError, match="max_decode_ms"):
        ImagingPolicy(max_decode_ms=limit_ms)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (partial(hostile.palettes_png, 17), "more than 16 palettes"),
        (partial(hostile.tables_jpeg, 300_000), "more than 262,144 bytes of tables"),
        (partial(hostile.blocks_gif, 100_000), "more than 16,384 blocks"),
        (partial(hostile.blocks_gif, 20_000, b"\1"), "more than 16,384 blocks"),
        (partial(hostile.one_comment_gif, 40_000), "more than 16,384 blocks"),
        (partial(hostile.tag_tiff, 258, 3, 65, 300), "65 values of tag 258; the limit is 64"),
    ],
    ids=["palettes", "tables", "comments", "stray bytes", "one comment", "bit depths"],
)
def test_more_of_anything_than_encoders_write_is_refused(
    make: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(ImageDecodeError, match=reason):
        decode_image(make(), SPEC, ImagingPolicy())


@pytest.mark.parametrize(
    "make",
    [
        partial(hostile.palettes_png, 16),
        partial(hostile.tables_jpeg, 200_000),
        partial(hostile.blocks_gif, 16_000),
        partial(hostile.frames_gif, 1_000),
        partial(hostile.tag_tiff, 282, 5, 100_000, 1_000_000),  # resolutions are dropped
    ],
    ids=["palettes", "tables", "comments", "frames", "resolutions"],
)
def test_as_much_as_is_allowed_is_decoded(make: Callable[[], bytes]) -> None:
    assert decode_image(make(), SPEC, ImagingPolicy()).pixels.shape == SPEC.shape
