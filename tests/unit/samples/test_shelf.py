"""Files of samples are read once, again when they change, and kept within a bound."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.labelled_samples import (
    LabelledSamples,
    read_labelled_samples,
    write_labelled_samples,
)
from app.errors import ArtifactError
from app.samples.shelf import SampleShelf

CLASSES = ("cat", "dog")


def samples(count: int = 4) -> LabelledSamples:
    return LabelledSamples(np.zeros((count, 2, 2, 1), np.uint8), np.zeros(count, np.int64), CLASSES)


def put(path: Path, count: int = 4) -> Path:
    write_labelled_samples(path, samples(count))
    return path


class Reader:
    """Reads files, and counts how often."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> LabelledSamples:
        self.paths.append(path)
        return read_labelled_samples(path)


@pytest.fixture
def read() -> Reader:
    return Reader()


def test_file_is_read_once_while_it_stays_as_it_is(tmp_path: Path, read: Reader) -> None:
    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    first = shelf.take("a", path, read)
    assert shelf.take("a", path, read) is first
    assert read.paths == [path]


def test_file_that_was_replaced_is_read_again(tmp_path: Path, read: Reader) -> None:
    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    old = shelf.take("a", path, read)
    put(path, 5)
    new = shelf.take("a", path, read)
    assert (old is None, new is None) == (False, False)
    assert [len(found) for found in (old, new) if found is not None] == [4, 5]
    assert shelf.size_bytes == samples(5).size_bytes


def test_file_of_the_same_size_and_time_is_known_for_another_one(
    tmp_path: Path, read: Reader
) -> None:
    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    before = path.stat()
    shelf.take("a", path, read)
    put(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    shelf.take("a", path, read)
    assert read.paths == [path, path]


def test_content_known_by_its_hash_needs_no_file_any_more(tmp_path: Path, read: Reader) -> None:
    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    first = shelf.take("a", path, read, sha256="1")
    path.unlink()
    assert shelf.take("a", path, read, sha256="1") is first
    with pytest.raises(FileNotFoundError):
        shelf.take("a", path, read, sha256="2")
    assert shelf.size_bytes == 0


def test_file_that_vanished_is_not_kept(tmp_path: Path, read: Reader) -> None:
    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    shelf.take("a", path, read)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        shelf.take("a", path, read)
    assert shelf.size_bytes == 0


def test_fault_is_told_to_everybody_and_logged_once_until_the_file_changes(
    tmp_path: Path, read: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, path = SampleShelf(), tmp_path / "a.npz"
    path.write_bytes(b"broken")
    for _ in range(3):
        with pytest.raises(ArtifactError, match=r"a\.npz cannot be read"):
            shelf.take("a", path, read)
    assert (len(read.paths), caplog.messages) == (1, ["samples not read"])
    put(path)
    assert shelf.take("a", path, read) is not None


def test_fault_of_content_with_a_known_hash_is_looked_at_again(
    tmp_path: Path, read: Reader
) -> None:
    shelf, path = SampleShelf(), tmp_path / "a.npz"
    path.write_bytes(b"broken")
    with pytest.raises(ArtifactError):
        shelf.take("a", path, read, sha256="1")
    put(path)
    assert shelf.take("a", path, read, sha256="1") is not None


def test_file_that_may_not_be_read_is_a_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> LabelledSamples:
        raise PermissionError(13, "Permission denied", str(path))

    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    for _ in range(2):
        with pytest.raises(ArtifactError, match=r"^a\.npz cannot be read: Permission denied$"):
            shelf.take("a", path, refuse)
    with pytest.raises(ArtifactError, match=r"cannot be read: Not a directory"):
        shelf.take("b", path / "c.npz", refuse)
    assert caplog.messages == ["samples not read"] * 2


def test_file_without_labelled_samples_is_looked_into_once(tmp_path: Path) -> None:
    seen: list[Path] = []

    def nothing(path: Path) -> None:
        seen.append(path)

    shelf, path = SampleShelf(), put(tmp_path / "a.npz")
    assert [shelf.take("a", path, nothing) for _ in range(2)] == [None, None]
    assert (len(seen), shelf.size_bytes) == (1, 0)


def test_what_was_asked_for_longest_ago_goes_where_there_is_no_room(
    tmp_path: Path, read: Reader
) -> None:
    shelf = SampleShelf(most_bytes=2 * samples().size_bytes)
    paths = {name: put(tmp_path / f"{name}.npz") for name in "abc"}
    for name in ("a", "b", "a", "c"):
        shelf.take(name, paths[name], read)
    assert shelf.size_bytes == 2 * samples().size_bytes
    read.paths.clear()
    for name in ("a", "c", "b"):
        shelf.take(name, paths[name], read)
    assert read.paths == [paths["b"]]


def test_file_that_is_larger_than_the_bound_is_kept_alone(tmp_path: Path, read: Reader) -> None:
    shelf = SampleShelf(most_bytes=samples().size_bytes)
    small, large = put(tmp_path / "small.npz"), put(tmp_path / "large.npz", 50)
    shelf.take("small", small, read)
    shelf.take("large", large, read)
    shelf.take("large", large, read)
    assert read.paths == [small, large]
    assert shelf.size_bytes == samples(50).size_bytes
