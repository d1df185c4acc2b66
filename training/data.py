"""Reads data sets into memory: PNG archives and folders, IDX files, or ``keras.datasets``."""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import ImageArray, InputSpec

logger = logging.getLogger(__name__)

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

INPUT_SPECS = {
    "cifar10": InputSpec(height=32, width=32, channels=3),
    "fashion_mnist": InputSpec(height=28, width=28, channels=1),
}

_IDX_FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
_PNG_MEMBER = re.compile(r"(?:^|/)(train|test)/(\d+)_([^/]+)\.png$")
_IDX_UINT8 = 0x08


class DataError(Exception):
    """The data set cannot be read; the message names the path and what was expected there."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images with their classes.

    Attributes:
        images: ``(N, H, W, C)`` uint8, 0..255.
        labels: ``(N,)`` int64, class ids.
    """

    images: ImageArray
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: Name of the set, e.g. ``cifar10``.
        classes: Class names; the index is the class id.
        spec: What its networks take.
        train: Images to learn from.
        test: Images to judge by, never learnt from.
    """

    name: str
    classes: tuple[str, ...]
    spec: InputSpec
    train: Split
    test: Split

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all pixels and labels in their order, as ``sha256:<hex>``."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(np.ascontiguousarray(split.labels.astype("<i8")).data)
        return f"sha256:{digest.hexdigest()}"


def load_dataset(name: str, path: Path | None = None, spec: InputSpec | None = None) -> Dataset:
    """Read a data set.

    Args:
        name: ``cifar10``, ``fashion_mnist``, or ``images`` for a set of your own.
        path: A local copy. CIFAR-10 and ``images``: the archive (``cifar.tgz``) or the unpacked
            folder, with ``train/N_class.png``, ``test/N_class.png`` and ``labels.txt``, which
            names the classes, a line each, in the order of their ids; N numbers the images of a
            part. Fashion-MNIST: the folder of the four IDX files, plain or ``.gz``. Without it
            ``keras.datasets`` downloads the public sets.
        spec: What the network takes; needed for ``images``, decided by the set otherwise.

    Raises:
        DataError: The path holds something else, or a file is missing or broken.
    """
    spec = spec or INPUT_SPECS[name]
    if path is None:
        return _from_keras(name, spec)
    if not path.exists():
        raise DataError(f"{path} does not exist (--data)")
    if name == "fashion_mnist":
        return _from_idx(name, path, spec)
    return _from_pngs(name, path, spec)


def _from_keras(name: str, spec: InputSpec) -> Dataset:
    if name not in INPUT_SPECS:
        raise DataError(f"the data set {name!r} has no public source; name its place with --data")
    from keras import datasets  # imported here: with a local copy no Keras is needed

    source = {"cifar10": datasets.cifar10, "fashion_mnist": datasets.fashion_mnist}[name]
    try:
        (train_x, train_y), (test_x, test_y) = source.load_data()
    except Exception as error:
        raise DataError(
            f"keras.datasets could not download {name}: {error}. "
            "Give a local copy with --data PATH."
        ) from error
    classes = CIFAR10_CLASSES if name == "cifar10" else FASHION_MNIST_CLASSES
    return Dataset(
        name, classes, spec, _split(train_x, train_y, spec), _split(test_x, test_y, spec)
    )


def _split(images: NDArray[np.uint8], labels: NDArray[np.integer], spec: InputSpec) -> Split:
    return Split(
        np.ascontiguousarray(images.reshape(-1, *spec.shape), dtype=np.uint8),
        labels.reshape(-1).astype(np.int64),
    )


# ---- PNG archive or folder ------------------------------------------------------------------


def _from_pngs(name: str, path: Path, spec: InputSpec) -> Dataset:
    members = dict(_folder_files(path) if path.is_dir() else _archive_files(path))
    classes = _read_classes(members, path)
    train, test = (_read_part(members, part, classes, path, spec) for part in ("train", "test"))
    return Dataset(name, classes, spec, train, test)


def _read_classes(members: dict[str, bytes], path: Path) -> tuple[str, ...]:
    file = next((key for key in members if PurePosixPath(key).name == "labels.txt"), None)
    if file is None:
        raise DataError(
            f"{path} has no labels.txt; expected train/N_class.png, test/N_class.png and labels.txt"
        )
    lines = members[file].decode(errors="replace").splitlines()
    classes = tuple(line.strip() for line in lines if line.strip())
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise DataError(f"{path}: labels.txt must name two classes or more, each once")
    return classes


def _read_part(
    members: dict[str, bytes], part: str, classes: tuple[str, ...], path: Path, spec: InputSpec
) -> Split:
    found = sorted(
        (int(match[2]), match[3], key)
        for key in members
        if (match := _PNG_MEMBER.search(key)) and match[1] == part
    )
    if not found:
        raise DataError(f"{path} has no images named {part}/N_class.png")
    unknown = {label for _, label, _ in found} - set(classes)
    if unknown:
        raise DataError(f"{path}: classes {sorted(unknown)} of {part}/ are not in labels.txt")
    images = np.empty((len(found), *spec.shape), np.uint8)
    for row, (_, _, key) in enumerate(found):  # threads gain nothing: tiny images hold the GIL
        images[row] = _decode(members[key], key, spec)
    return Split(images, np.array([classes.index(label) for _, label, _ in found], np.int64))


def _decode(data: bytes, key: str, spec: InputSpec) -> ImageArray:
    try:
        return decode_image(data, spec, ImagingPolicy()).pixels
    except Exception as error:
        raise DataError(f"{key}: {error}") from error


def _wanted(name: str) -> bool:
    return PurePosixPath(name).name == "labels.txt" or _PNG_MEMBER.search(name) is not None


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if _wanted(name):
            try:
                yield name, file.read_bytes()
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}") from error


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _wanted(member.name):
                    handle = archive.extractfile(member)
                    assert handle is not None, "isfile() was checked"
                    yield member.name, handle.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is no readable archive of PNG files: {error}") from error


# ---- IDX ------------------------------------------------------------------------------------


def _from_idx(name: str, path: Path, spec: InputSpec) -> Dataset:
    arrays = {key: read_idx(_find_idx(path, file)) for key, file in _IDX_FILES.items()}
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.shape[1:] != (spec.height, spec.width) or not len(images):
            raise DataError(
                f"{path}: {part} images have shape {images.shape}, "
                f"must be (N, {spec.height}, {spec.width})"
            )
        if labels.shape != (len(images),):
            raise DataError(f"{path}: {len(images)} {part} images but {len(labels)} labels")
        if labels.max() >= len(FASHION_MNIST_CLASSES):
            raise DataError(
                f"{path}: {part} labels reach {labels.max()}, "
                f"must be below {len(FASHION_MNIST_CLASSES)}"
            )
    return Dataset(
        name,
        FASHION_MNIST_CLASSES,
        spec,
        _split(arrays["train_images"], arrays["train_labels"], spec),
        _split(arrays["test_images"], arrays["test_labels"], spec),
    )


def _find_idx(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder} has neither {name} nor {name}.gz")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or gzipped, in the shape its header gives.

    The format: two zero bytes, the type (0x08 is uint8), the number of axes, each axis as
    big-endian uint32, then the values (Y. LeCun, "The MNIST database of handwritten digits").

    Raises:
        DataError: Not IDX, another type, or a length that does not fit the header.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    start = 4 + 4 * raw[3] if len(raw) >= 4 else 4
    if len(raw) < start or raw[:2] != b"\0\0" or raw[2] != _IDX_UINT8:
        raise DataError(f"{path} is no IDX file of unsigned bytes")
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    if len(raw) - start != math.prod(shape):
        raise DataError(
            f"{path} holds {len(raw) - start} values, its header says {math.prod(shape)}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
