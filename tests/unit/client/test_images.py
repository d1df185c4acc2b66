"""What may be given as an image."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.client.images import image_bytes, name_of
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import ImageArray, InputSpec
from tests.factories.images import encode, noise_image

FILE = encode(noise_image(4, 5, seed=1), "PNG")


def seen(content: bytes, height: int, width: int, channels: int = 3) -> ImageArray:
    """What a network of this size would see."""
    return decode_image(content, InputSpec(height, width, channels), ImagingPolicy()).pixels


def test_encoded_images_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILE)

    with path.open("rb") as file:
        sources: list[Any] = [
            FILE, bytearray(FILE), memoryview(FILE), path, str(path), io.BytesIO(FILE), file,
        ]  # fmt: skip
        assert [image_bytes(source) for source in sources] == [FILE] * len(sources)


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 1), (4, 5)])
def test_every_pixel_of_an_array_arrives(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    channels = 3 if shape[-1:] == (3,) else 1

    found = seen(image_bytes(pixels), 4, 5, channels)

    assert np.array_equal(found.reshape(shape), pixels)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3), np.float32), np.zeros((2, 4, 4, 3), np.uint8)]
)
def test_array_that_is_no_image_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        image_bytes(array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "HSV"])
def test_pillow_images_of_every_mode_arrive(mode: str) -> None:
    image = Image.new("RGB", (5, 4), (200, 30, 60)).convert(mode)

    found = seen(image_bytes(image), 4, 5)

    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(found, expected)


def test_pillow_image_is_turned_upright_as_its_file_is() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise_image(16, 8, seed=2).save(file, "JPEG", exif=exif)

    opened = image_bytes(Image.open(io.BytesIO(file.getvalue())))

    assert np.array_equal(seen(opened, 16, 8), seen(file.getvalue(), 16, 8))


def test_what_is_no_image_is_refused() -> None:
    wrong: Any = 7
    with pytest.raises(TypeError, match="int is no image: give a path"):
        image_bytes(wrong)
    text: Any = io.StringIO("text")
    with pytest.raises(TypeError, match="binary mode"):
        image_bytes(text)


def test_files_of_a_batch_have_names(tmp_path: Path) -> None:
    path = tmp_path / "ship.png"
    path.write_bytes(FILE)
    with path.open("rb") as file:
        assert [name_of(path, 0), name_of(str(path), 1), name_of(file, 2), name_of(FILE, 3)] == [
            "ship.png", "ship.png", "ship.png", "image-3",
        ]  # fmt: skip


def test_name_that_is_no_text_is_sent_all_the_same() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    assert name_of(name, 0) == "caf\ufffd.png"
    assert name_of(Path("photos") / name, 0) == "caf\ufffd.png"
