from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import InputSpec
from tests.factories.datasets import write_class_folders
from tests.factories.images import encode, noise_image, orientation_exif
from tests.unit.training.data.reading import read_own
from training.data.dataset import DataError


def damage(folder: Path, count: int) -> list[str]:
    """Cut the first training images of every class short; return their names."""
    files = sorted((folder / "train").glob("*/*.jpg"), key=lambda file: (file.stem[-4:], file))
    for file in files[:count]:
        file.write_bytes(file.read_bytes()[:100])
    return sorted(file.relative_to(folder).as_posix() for file in files[:count])


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_become_what_the_service_makes_of_uploads(
    tmp_path: Path, resize: str, channels: int
) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 3, "test": 1}, size=24)
    turned = encode(noise_image(60, 30), "JPEG", exif=orientation_exif(6))
    (folder / "test" / "circle" / "circle_0000.jpg").write_bytes(turned)
    transparent = encode(noise_image(40, 20, "RGBA"), "PNG")
    (folder / "test" / "square" / "square_0000.jpg").write_bytes(transparent)
    size = {"height": 10, "width": 14, "resize": resize, "interpolation": "bicubic"}

    dataset = read_own(folder, channels=channels, input=size)

    spec = InputSpec(10, 14, channels, resize, "bicubic")  # type: ignore[arg-type]
    assert dataset.spec == spec
    for row, file in enumerate(sorted((folder / "test").glob("*/*.jpg"))):
        upload = decode_image(file.read_bytes(), spec, ImagingPolicy())
        np.testing.assert_array_equal(dataset.test.images[row], upload.pixels)


def test_order_is_that_of_the_names_however_many_threads_decode(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for label in ("a", "b"):
        for number in range(70):
            file = folder / "train" / label / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            # Sizes of very different cost, so that threads overtake each other.
            side = 400 if number % 7 == 0 else 2
            Image.new("L", (side, side), number + 100 * (label == "b")).save(file)

    dataset = read_own(folder)

    first_pixels = dataset.train.images[:, 0, 0, 0].astype(int) - 100 * dataset.train.labels
    for class_id in (0, 1):
        values = first_pixels[dataset.train.labels == class_id]
        assert (np.diff(values) > 0).all()


def test_unreadable_images_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_class_folders(tmp_path / "set", parts={"train": 12, "test": 2}, size=24)
    names = damage(folder, 2)
    good = sorted(set((folder / "train").glob("*/*.jpg")) - {folder / name for name in names})

    with caplog.at_level(logging.WARNING):
        dataset = read_own(folder, max_unreadable_share=0.05)

    told = [vars(entry) for entry in caplog.records if entry.message == "unreadable image"]
    assert [record["image"] for record in told] == names
    assert all("cannot be decoded" in record["reason"] for record in told)
    assert [line.split(":")[0] for line in dataset.skipped] == names
    assert len(dataset.train) + len(dataset.validation) == len(good) == 34
    kept = np.concatenate([dataset.train.images, dataset.validation.images])
    expected = [
        decode_image(file.read_bytes(), dataset.spec, ImagingPolicy()).pixels for file in good
    ]
    assert sorted(map(bytes, kept)) == sorted(map(bytes, expected))


def test_set_is_the_same_without_its_unreadable_images(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=12, size=24)
    names = damage(folder, 3)
    with_them = read_own(folder, max_unreadable_share=0.1)
    for name in names:
        (folder / name).unlink()

    assert read_own(folder).fingerprint == with_them.fingerprint


def test_too_many_unreadable_images_end_the_run(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=10, size=24)
    names = damage(folder, 7)

    with pytest.raises(DataError) as caught:
        read_own(folder, max_unreadable_share=0.2)

    message = str(caught.value)
    assert "7 of 30 images cannot be read (23.3%)" in message
    assert "at most 20.0% may be (data.max_unreadable_share)" in message
    assert [name in message for name in names] == [True] * 5 + [False] * 2
    assert message.endswith("; …")


def test_limit_itself_is_allowed(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=10, size=24)
    damage(folder, 6)

    assert len(read_own(folder, max_unreadable_share=0.2).skipped) == 6


def test_long_list_is_cut_in_the_log_and_whole_in_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=20, size=12)
    damage(folder, 25)

    dataset = read_own(folder, max_unreadable_share=0.5)

    messages = [entry.message for entry in caplog.records]
    assert messages.count("unreadable image") == 20
    rest = next(entry for entry in caplog.records if entry.message == "more unreadable images")
    assert vars(rest)["images"] == 5
    assert len(dataset.skipped) == 25


def test_formats_that_cannot_be_decoded_are_not_overlooked(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=10, size=12)
    (folder / "train" / "circle" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")

    assert read_own(folder).skipped == (
        "train/circle/phone.HEIC: The file is not a known image; enabled formats: "
        "PNG, JPEG, WEBP, BMP, GIF, TIFF.",
    )


def test_empty_and_missing_files_are_unreadable(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "set", per_class=15, size=12)
    (folder / "train" / "circle" / "circle_0000.jpg").write_bytes(b"")
    (folder / "train" / "square" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")

    assert read_own(folder).skipped == (
        "train/circle/circle_0000.jpg: The image file is empty.",
        "train/square/gone.jpg: The file cannot be read: no file, or a link to none.",
    )
