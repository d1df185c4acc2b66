"""The test images of the public sets, from stand-ins for what is published."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.factories.datasets import write_idx
from tests.unit.training.data.file_server import publishing
from training.data.dataset import DataError
from training.data.downloads import PublicFile
from training.data.test_sets import SOURCES, download_test_set

MEMBER = "cifar-10-batches-bin/test_batch.bin"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


def cifar_rows() -> bytes:
    planes = IMAGES.transpose(0, 3, 1, 2).reshape(20, -1)
    return np.concatenate([LABELS[:, None], planes], axis=1).tobytes()


def cifar_archive(content: bytes, name: str = MEMBER) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, data in (("cifar-10-batches-bin/data_batch_1.bin", b"x"), (name, content)):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def sources(
    name: str, address: str, files: Mapping[str, bytes]
) -> Mapping[str, Sequence[PublicFile]]:
    """The sources of a set, at another address, for what lies there."""

    def stand_in(file: str, content: bytes) -> PublicFile:
        is_gzipped = name == "fashion_mnist"
        raw = gzip.decompress(content) if is_gzipped else content
        return PublicFile(address + file, hashlib.sha256(raw).hexdigest(), 10**6, is_gzipped)

    return {name: [stand_in(file, content) for file, content in files.items()]}


def test_cifar_comes_in_its_own_order_with_its_colours_where_they_belong(tmp_path: Path) -> None:
    files = {"cifar.tar.gz": cifar_archive(cifar_rows())}
    with publishing(files) as address:
        split = download_test_set("cifar10", tmp_path, sources("cifar10", address, files))
    np.testing.assert_array_equal(split.images, IMAGES)
    np.testing.assert_array_equal(split.labels, LABELS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (cifar_archive(cifar_rows()[:-1]), "has 61459 bytes, must be rows of 3073"),
        (cifar_archive(b""), "has 0 bytes"),
        (cifar_archive(cifar_rows(), "other.bin"), "cannot be read: .*test_batch.bin"),
        (b"no archive", "cannot be read"),
        (cifar_archive(b"\x0a" + cifar_rows()[1:]), "goes from 0 to 10"),
    ],
    ids=["cut", "empty", "without the member", "no archive", "a label too high"],
)
def test_archive_that_is_something_else_is_refused(
    tmp_path: Path, content: bytes, text: str
) -> None:
    files = {"cifar.tar.gz": content}
    with publishing(files) as address, pytest.raises(DataError, match=text):
        download_test_set("cifar10", tmp_path, sources("cifar10", address, files))


def test_fashion_mnist_comes_in_its_own_order(tmp_path: Path) -> None:
    grey = IMAGES[:, :28, :28, 0]
    files = {
        "images.gz": write_idx(tmp_path / "images.gz", grey).read_bytes(),
        "labels.gz": write_idx(tmp_path / "labels.gz", LABELS).read_bytes(),
    }
    with publishing(files) as address:
        split = download_test_set(
            "fashion_mnist", tmp_path, sources("fashion_mnist", address, files)
        )
    np.testing.assert_array_equal(split.images, grey[..., None])
    np.testing.assert_array_equal(split.labels, LABELS)


def test_set_of_ones_own_has_no_public_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'images' has no public source; .* --data"):
        download_test_set("images", tmp_path)


def test_sources_are_encrypted_and_the_set_s_own() -> None:
    assert set(SOURCES) == {"cifar10", "fashion_mnist"}
    for files in SOURCES.values():
        for file in files:
            assert file.url.startswith("https://")
            assert len(bytes.fromhex(file.sha256)) == 32
