from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.imaging.decoder import ImagingPolicy, decode_image
from tests.factories.images import encode, noise
from tests.unit.training.data.reading import read_own, read_public
from training.data.dataset import DataError
from training.data.public import CIFAR10_CLASSES


def arrays(**changes: Any) -> dict[str, Any]:
    """Twelve images of 8 × 8 in three classes; ``None`` takes an array out."""
    rng = np.random.default_rng(0)
    made = {
        "x_train": rng.integers(0, 256, (12, 8, 8), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def write(path: Path, **changes: Any) -> Path:
    np.savez(path, **arrays(**changes))
    return path


def test_images_come_back_as_they_are(tmp_path: Path) -> None:
    made = arrays(x_val=noise(8, 24, 1).reshape(3, 8, 8), y_val=np.array([[2], [1], [0]]))
    np.savez(tmp_path / "set.npz", **made)

    dataset = read_own(tmp_path / "set.npz")

    assert dataset.classes == ("0", "1", "2")
    np.testing.assert_array_equal(dataset.train.images[..., 0], made["x_train"])
    np.testing.assert_array_equal(dataset.validation.images[..., 0], made["x_val"])
    assert dataset.validation.labels.tolist() == [2, 1, 0]
    assert dataset.test.labels.dtype == np.int64


def test_missing_parts_are_split_off(tmp_path: Path) -> None:
    dataset = read_own(write(tmp_path / "set.npz", x_test=None, y_test=None))

    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [6, 3, 3]


@pytest.mark.parametrize("names", [["ä", "b", "c"], [b"a", b"b", b"c"]], ids=["text", "bytes"])
def test_classes_can_be_named(tmp_path: Path, names: list[Any]) -> None:
    dataset = read_own(write(tmp_path / "set.npz", classes=np.array(names)))

    assert dataset.classes[1:] == ("b", "c")


@pytest.mark.parametrize("stored", ["grey", "one channel", "colour"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_sizes_become_what_the_service_makes_of_uploads(
    tmp_path: Path, stored: str, channels: int
) -> None:
    images = np.stack([noise(20, 30, 3, seed=seed) for seed in range(6)])  # (6, 30, 20, 3)
    if stored != "colour":
        images = images[..., 0] if stored == "grey" else images[..., :1]
    path = write(tmp_path / "set.npz", x_test=images)

    dataset = read_own(path, channels=channels, side=12, input={"resize": "crop"})

    for row, image in enumerate(images):
        upload = encode(Image.fromarray(image.squeeze()), "PNG")
        expected = decode_image(upload, dataset.spec, ImagingPolicy()).pixels
        np.testing.assert_array_equal(dataset.test.images[row], expected)


def uint8(*shape: int) -> Any:
    return np.zeros(shape, np.uint8)


DEFECTS: dict[str, tuple[dict[str, Any], str]] = {
    "no x_train": ({"x_train": None}, "has no x_train; it has x_test, y_test, y_train"),
    "nothing of training": (
        {"x_train": None, "y_train": None},
        "has no x_train and no y_train; it has x_test, y_test",
    ),
    "half a test part": ({"y_test": None}, "has no y_test; it has"),
    "half a validation part": ({"y_val": np.zeros(3, int)}, "has no x_val; it has"),
    "floats": (
        {"x_train": np.zeros((12, 8, 8), np.float32)},
        r"x_train is float32, must be uint8, 0\.\.255; of values 0\.\.1 make \(x \* 255\)",
    ),
    "wide integers": ({"x_train": np.zeros((12, 8, 8), int)}, "x_train is int64, must be uint8"),
    "flat images": (
        {"x_train": uint8(12, 64)},
        r"x_train has shape \(12, 64\), must be \(N, H, W\)",
    ),
    "channels first": (
        {"x_train": uint8(12, 3, 8, 8)},
        r"x_train has shape \(12, 3, 8, 8\), must be",
    ),
    "no images": ({"x_test": uint8(0, 8, 8)}, r"x_test has shape \(0, 8, 8\).*not empty"),
    "a single value": ({"x_test": uint8()}, "x_test is a single value"),
    "one-hot labels": (
        {"y_train": np.eye(3)[np.arange(12) % 3]},
        r"y_train has shape \(12, 3\).*y\.argmax\(axis=1\)",
    ),
    "labels of rank 3": ({"y_train": np.zeros((12, 1, 1), int)}, r"y_train has shape \(12, 1, 1\)"),
    "labels that are no integers": (
        {"y_train": np.arange(12) % 3 / 1.0},
        "y_train is float64, must be integers",
    ),
    "too few labels": (
        {"y_test": np.zeros(5, int)},
        "y_test has 5 labels, .*x_test has 6 images",
    ),
    "label without class": (
        {"y_test": np.array([0, 1, 2, 3, 0, 1])},
        "y_test goes from 0 to 3, must be within 0 to 2: there are 3 classes",
    ),
    "negative label": ({"y_train": np.arange(12) % 3 - 1}, "y_train goes from -1 to 1"),
    "only negative labels": ({"y_train": np.full(12, -4)}, "y_train goes from -4 to -4"),
    "class without images": (
        {"y_train": np.arange(12) % 2 * 2},
        "class '1' has no training images",
    ),
    "one class": (
        {"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)},
        "has one class only, '0'",
    ),
    "classes in another encoding": (
        {"classes": np.array(["ä".encode("latin-1"), b"b", b"c"])},
        "classes is not UTF-8",
    ),
    "numbers for classes": ({"classes": np.arange(3)}, "classes is int64 of shape"),
    "a class twice": ({"classes": np.array(["a", "b", "a"])}, "classes names one twice: a, b, a"),
    "pickled objects": (
        {"classes": np.array(["a", None, "c"], object)},
        "no readable .npz: Object arrays cannot be loaded",
    ),
}


@pytest.mark.parametrize(("changes", "message"), DEFECTS.values(), ids=DEFECTS.keys())
def test_set_is_refused_with(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_own(write(tmp_path / "set.npz", **changes))


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)

    with pytest.raises(DataError, match=r"no readable \.npz"):
        read_own(tmp_path / "set.npz")


def test_lone_array_by_the_name_of_an_npz_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "set.npz").open("wb") as file:
        np.save(file, uint8(12, 8, 8))

    with pytest.raises(DataError, match=r"no readable \.npz"):
        read_own(tmp_path / "set.npz")


def cifar10(**changes: Any) -> dict[str, Any]:
    return {
        "x_train": uint8(30, 32, 32, 3),
        "y_train": np.arange(30).reshape(-1, 1) % 10,
        "x_test": uint8(10, 32, 32, 3),
        "y_test": np.arange(10).reshape(-1, 1),
        **changes,
    }


def test_cifar10_needs_no_names(tmp_path: Path) -> None:
    dataset = read_public("cifar10", write(tmp_path / "set.npz", **cifar10()))

    assert dataset.classes == CIFAR10_CLASSES
    assert dataset.train.images.shape == (20, 32, 32, 3)


def test_images_of_cifar10_have_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "set.npz", **cifar10(x_train=uint8(30, 28, 28)))

    with pytest.raises(DataError, match=r"\(30, 28, 28\), must be \(N, 32, 32, 3\) for cifar10"):
        read_public("cifar10", path)
