"""Files of images with the classes that a data set gives them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.labelled_samples import (
    LabelledSamples,
    read_labelled_samples,
    read_own_samples,
    write_labelled_samples,
)
from app.artifacts.samples import write_samples
from app.errors import ArtifactError
from tests.factories.versions import make_manifest, make_samples

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([1, 0, 1], np.int64)
CLASSES = ("T-shirt/top", "Fußgänger 🚶")


def save(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


def test_samples_come_back_as_written_with_the_names_of_their_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write_labelled_samples(path, LabelledSamples(IMAGES, LABELS, CLASSES))
    read = read_labelled_samples(path)
    np.testing.assert_array_equal(read.images, IMAGES)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert (read.classes, len(read)) == (CLASSES, 3)
    assert read.size_bytes == IMAGES.nbytes + LABELS.nbytes
    assert [file.name for file in tmp_path.iterdir()] == ["mine.npz"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"images": IMAGES.astype(np.float32)}, "images are float32, must be uint8"),
        ({"images": IMAGES[..., :2]}, r"images have shape \(3, 4, 5, 2\)"),
        ({"images": IMAGES[:0]}, r"images have shape \(0, 4, 5, 3\)"),
        ({"labels": LABELS.astype(np.int32)}, "labels are int32, must be int64"),
        ({"labels": LABELS[:2]}, r"labels have shape \(2,\), must be \(3,\)"),
        ({"labels": LABELS + 1}, r"labels reach 1\.\.2, must be 0\.\.1"),
        ({"labels": LABELS - 1}, r"labels reach -1\.\.0, must be 0\.\.1"),
        ({"classes": ("cat",)}, "the classes are 'cat'; they must be two or more names"),
        ({"classes": ("cat", "cat")}, "each once"),
        ({"classes": ("cat", "")}, "each once"),
    ],
)
def test_contradicting_arrays_are_refused_wherever_they_come_from(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    arrays: dict[str, Any] = {"images": IMAGES, "labels": LABELS, "classes": CLASSES} | changes
    with pytest.raises(ArtifactError, match=text):
        LabelledSamples(**arrays)
    path = save(tmp_path / "mine.npz", **(arrays | {"classes": np.array(arrays["classes"])}))
    with pytest.raises(ArtifactError, match=rf"^mine\.npz: .*{text}"):
        read_labelled_samples(path)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (np.array([1, 2]), r"classes are int64 of shape \(2,\), must be strings"),
        (np.array([["a", "b"]]), r"of shape \(1, 2\), must be strings"),
        (np.array([b"a", b"b"]), "must be strings"),
        (np.array([0x110000, 0x61], "<u4").view("<U1"), "classes are no text"),
        (np.array(["\ud800", "b"]), "classes are no text"),
        (np.array(["", ""], "<U0"), "two or more names"),
    ],
    ids=["numbers", "two axes", "bytes", "no characters", "half a character", "nothing"],
)
def test_classes_that_are_no_names_are_refused(tmp_path: Path, classes: Any, text: str) -> None:
    path = save(tmp_path / "mine.npz", images=IMAGES, labels=LABELS, classes=classes)
    with pytest.raises(ArtifactError, match=text):
        read_labelled_samples(path)


def test_names_in_the_byte_order_of_another_machine_are_read(tmp_path: Path) -> None:
    names = np.array(CLASSES)
    for order in ("<", ">"):
        classes = names.astype(names.dtype.newbyteorder(order))
        path = save(tmp_path / "mine.npz", images=IMAGES, labels=LABELS, classes=classes)
        assert read_labelled_samples(path).classes == CLASSES


def test_file_without_names_of_classes_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(ArtifactError, match="must hold images, labels and classes"):
        read_labelled_samples(path)


def test_every_changed_byte_is_either_harmless_or_an_artifact_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write_labelled_samples(path, LabelledSamples(IMAGES, LABELS, CLASSES))
    content = path.read_bytes()
    for position in range(0, len(content), 5):
        changed = bytes([content[position] ^ 0xFF])
        path.write_bytes(content[:position] + changed + content[position + 1 :])
        try:
            read = read_labelled_samples(path)
        except ArtifactError:
            continue
        np.testing.assert_array_equal(read.images, IMAGES)


def header_of(described: str) -> bytes:
    """An array of this header, and of nothing else."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(described)) + described.encode()


@pytest.mark.parametrize(
    "described",
    [
        pytest.param("(((", id="no end"),
        pytest.param("-" * 9000 + "1", id="deeper than the parser goes"),
        pytest.param("{[]: 1}", id="no dictionary"),
        pytest.param(
            f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30}, 0)}}",
            id="more than an integer holds",
        ),
        pytest.param(
            "{'descr': '<U0', 'fortran_order': False, 'shape': (300000000,)}",
            id="1.2 GB of strings without characters",
        ),
    ],
)
def test_header_that_makes_no_sense_is_an_artifact_error(tmp_path: Path, described: str) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("classes", "images", "labels"):
            archive.writestr(f"{name}.npy", header_of(described))
    with pytest.raises(ArtifactError, match=r"^mine\.npz"):
        read_labelled_samples(path)


def test_writing_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    write_labelled_samples(path, LabelledSamples(IMAGES, LABELS, CLASSES))
    before = path.read_bytes()

    damaged = LabelledSamples(IMAGES, LABELS, CLASSES)
    object.__setattr__(damaged, "classes", _Fails())
    with pytest.raises(RuntimeError, match="in the middle"):
        write_labelled_samples(path, damaged)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine.npz"]


class _Fails(tuple[str, ...]):
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("in the middle")


def test_version_gives_its_labelled_samples_with_the_classes_of_its_manifest(
    tmp_path: Path,
) -> None:
    manifest = make_manifest()
    samples = make_samples(manifest)
    write_samples(tmp_path / "samples.npz", samples)
    read = read_own_samples(tmp_path / "samples.npz", manifest.classes)
    assert read is not None
    np.testing.assert_array_equal(read.images, samples.images)
    np.testing.assert_array_equal(read.labels, samples.labels)
    assert read.classes == manifest.classes


def test_version_whose_pictures_were_generated_has_none(tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.npz", make_samples(make_manifest(), labelled=False))
    assert read_own_samples(tmp_path / "samples.npz", ("cat", "dog", "frog")) is None
