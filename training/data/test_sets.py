"""The test images of the public sets, downloaded without Keras and without the training images.

``keras.datasets`` needs TensorFlow, and brings the whole set. The files are those of the same
servers; of CIFAR-10 the variant without pickled objects, in the same order.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import NamedArray, check_label_range, make_split
from training.data.dataset import DataError, Split, Wanted
from training.data.downloads import DownloadPolicy, PublicFile, downloaded
from training.data.idx import parse_idx
from training.data.public import INPUT_SPECS, PUBLIC_CLASSES

_FASHION_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

SOURCES: Mapping[str, Sequence[PublicFile]] = {
    "cifar10": (
        PublicFile(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            most_bytes=170_052_171,
        ),
    ),
    "fashion_mnist": (
        PublicFile(
            _FASHION_MNIST + "t10k-images-idx3-ubyte.gz",
            sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            most_bytes=8_000_000,
            is_gzipped=True,
        ),
        PublicFile(
            _FASHION_MNIST + "t10k-labels-idx1-ubyte.gz",
            sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            most_bytes=20_000,
            is_gzipped=True,
        ),
    ),
}
"""The files of each set that hold its test images."""

_CIFAR_MEMBER = "cifar-10-batches-bin/test_batch.bin"
_CIFAR_SHAPE = (3, 32, 32)
_CIFAR_ROW_BYTES = 1 + 3 * 32 * 32


def download_test_set(
    name: str,
    folder: Path,
    sources: Mapping[str, Sequence[PublicFile]] = SOURCES,
    policy: DownloadPolicy | None = None,
) -> Split:
    """Return the test images of a public set in the order in which they are published.

    Args:
        name: Of the set.
        folder: Has room for its files, 170 MB for CIFAR-10; nothing is left there.
        sources: Where its files are.
        policy: How long to wait for servers.

    Raises:
        DataError: Not public, or it cannot be downloaded.
    """
    if name not in sources:
        raise DataError(f"the data set {name!r} has no public source; name its place with --data")
    arrays: list[NDArray[np.uint8]] = []
    for source in sources[name]:
        with downloaded(source, folder, policy) as file:
            arrays += _READERS[name](file, source.url)
    images, labels = (
        NamedArray(f"{what} of {name}", array)
        for what, array in zip(("images", "labels"), arrays, strict=True)
    )
    split = make_split(images, labels, Wanted(name, INPUT_SPECS[name], PUBLIC_CLASSES[name]))
    check_label_range(f"{labels.name}", split, PUBLIC_CLASSES[name])
    return split


def _read_cifar(file: IO[bytes], url: str) -> list[NDArray[np.uint8]]:
    """Return images and labels: each row is a label, then the planes red, green and blue."""
    try:
        with tarfile.open(fileobj=file) as archive:
            member = archive.extractfile(_CIFAR_MEMBER)
            raw = b"" if member is None else member.read()
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{url} cannot be read: {error}") from error
    if not raw or len(raw) % _CIFAR_ROW_BYTES:
        raise DataError(
            f"{url}: {_CIFAR_MEMBER} has {len(raw)} bytes, must be rows of {_CIFAR_ROW_BYTES}"
        )
    rows = np.frombuffer(raw, np.uint8).reshape(-1, _CIFAR_ROW_BYTES)
    planes = rows[:, 1:].reshape(-1, *_CIFAR_SHAPE)  # (N, C, H, W) uint8, 0..255, RGB
    return [np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), rows[:, 0]]


def _read_idx(file: IO[bytes], url: str) -> list[NDArray[np.uint8]]:
    return [parse_idx(file.read(), url)]


_READERS = {"cifar10": _read_cifar, "fashion_mnist": _read_idx}
