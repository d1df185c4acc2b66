"""How many tables a lossless WebP brings, against what its encoder must have written."""

from __future__ import annotations

import pytest
from PIL import Image

from app.errors import ImageTooLargeError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.huffman import BitReader, canonical_code
from app.imaging.vp8l import count_alpha_tables, count_tables
from app.imaging.webp import FirstPicture, strip_webp
from app.types import InputSpec
from tests.factories import hostile, images

SPEC = InputSpec(16, 16, 3)


def first_picture(image: Image.Image, **options: object) -> FirstPicture:
    return strip_webp(images.encode(image, "WEBP", **options))[1]


@pytest.mark.parametrize("side", [64, 256])
def test_table_for_each_tile_is_counted(side: int) -> None:
    _, picture = strip_webp(hostile.code_tables_webp(side))

    assert picture.count_tables() == (side // 4) ** 2


@pytest.mark.parametrize("colors", [2, 4, 16, 100, None])
@pytest.mark.parametrize("method", [0, 3, 6])
def test_tables_of_photos_are_those_of_some_size_of_tiles(colors: int | None, method: int) -> None:
    image = images.photo()
    image = image.convert("RGB") if colors is None else image.quantize(colors).convert("RGB")
    packed = {2: 8, 4: 4, 16: 2}.get(colors or 0, 1)  # px of few colours that share one
    width, height = -(-image.width // packed), image.height
    grids = {-(-width >> bits) * -(-height >> bits) for bits in range(2, 10)}

    picture = first_picture(image, lossless=True, quality=60, method=method)

    assert picture.count_tables() in grids | {1}


def test_single_colour_has_one_set_of_tables() -> None:
    assert first_picture(Image.new("RGB", (300, 200)), lossless=True).count_tables() == 1


def test_alpha_channel_counts_and_lossy_colours_do_not() -> None:
    image = images.noise_image(64, 48, "RGB")
    assert first_picture(image).count_tables() == 0

    image.putalpha(images.noise_image(64, 48, "L"))
    assert first_picture(image).count_tables() in {1, 12 * 16, 8 * 6, 4 * 3, 2 * 2}


def test_what_cannot_be_followed_is_not_known() -> None:
    stream = bytes(strip_webp(hostile.code_tables_webp(64))[1].colors or b"")

    assert count_tables(b"") is None
    assert count_tables(b"\x2e" + stream[1:]) is None
    assert count_alpha_tables(b"", 8, 8) is None
    for seed in range(256):  # a decoder would refuse most of it, too
        damaged = stream[:5] + bytes([seed, 255 - seed, 7 * seed & 255]) + stream[8:200]
        found = count_tables(damaged)
        assert found is None or 1 <= found <= 16 * 16


@pytest.mark.parametrize("end", range(6, 120, 3))
def test_cut_stream_is_not_known_or_was_told_by_then(end: int) -> None:
    data = images.encode(images.photo().resize((200, 120)), "WEBP", lossless=True)
    colors = strip_webp(data)[1].colors
    assert colors is not None

    assert count_tables(colors[:end]) in (None, count_tables(colors))


def test_more_symbols_than_encoders_write_are_not_followed() -> None:
    # Predictors for 4x4 px of a large picture, each in its bits.
    stream = (0x2F | (2_000 - 1) << 8 | (2_000 - 1) << 22).to_bytes(5, "little")
    head = 0b1 | 0b00 << 1 | 0b000 << 3  # a transform, predictor, tiles of 4 px
    two_symbols = 0b1 | 0b1 << 1 | 0b0 << 2 | 0b0 << 3 | 1 << 4  # 0 and 1, one bit each
    one_symbol = 0b0001
    bits = head | two_symbols << 7
    for number in range(4):
        bits |= one_symbol << (7 + 12 + 4 * number)

    assert count_tables(stream + bits.to_bytes(8, "little") + bytes(100_000)) is None


def test_honest_picture_passes_and_one_of_many_tables_does_not() -> None:
    honest = images.encode(images.photo(), "WEBP", lossless=True)
    hostile_one = hostile.code_tables_webp(512)

    assert decode_image(honest, SPEC, ImagingPolicy(max_decode_ms=40)).width == 640
    with pytest.raises(ImageTooLargeError):
        decode_image(hostile_one, SPEC, ImagingPolicy(max_decode_ms=40))


def test_codes_are_canonical_and_a_lonely_symbol_takes_no_bits() -> None:
    code = canonical_code([2, 0, 1, 2])

    bits = BitReader(bytes([0b0111_0010]))  # 0, then 10, then 0, then 11, …
    assert [bits.read_symbol(code) for _ in range(3)] == [2, 0, 2]
    assert BitReader(b"").read_symbol(canonical_code([0, 0, 5])) == 2


def test_codes_end_with_the_data_and_have_no_other_symbols() -> None:
    with pytest.raises(EOFError):
        BitReader(b"").read_symbol(canonical_code([1, 1]))
    with pytest.raises(EOFError):
        BitReader(b"\0").read(9)
    with pytest.raises(ValueError, match="without symbols"):
        canonical_code([0, 0])
    with pytest.raises(ValueError, match="no such code"):
        BitReader(b"\xff\xff").read_symbol(canonical_code([2, 2]))
