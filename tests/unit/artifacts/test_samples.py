from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.artifacts.samples import MAX_SAMPLES, Samples, read_samples, write_samples
from app.errors import ArtifactError
from tests.factories.versions import make_manifest, make_samples

IMAGES = np.zeros((2, 4, 4, 3), np.uint8)
PROBABILITIES = np.array([[0.25, 0.75], [1, 0]], np.float32)
LABELS = np.array([1, 0], np.int64)


def save(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "unlabelled"])
def test_samples_come_back_as_written(tmp_path: Path, labelled: bool) -> None:
    samples = make_samples(make_manifest(), labelled=labelled)

    write_samples(tmp_path / "samples.npz", samples)
    read = read_samples(tmp_path / "samples.npz")

    assert len(read) == 4
    np.testing.assert_array_equal(read.images, samples.images)
    np.testing.assert_array_equal(read.probabilities, samples.probabilities)
    if samples.labels is None:
        assert read.labels is None
    else:
        assert read.labels is not None
        np.testing.assert_array_equal(read.labels, samples.labels)


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_samples(tmp_path / name, make_samples(make_manifest()))

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"images": IMAGES.astype(np.float32)}, "images are float32, must be uint8"),
        ({"probabilities": PROBABILITIES.astype(np.float64)}, "float64, must be float32"),
        ({"labels": LABELS.astype(np.int32)}, "labels are int32, must be int64"),
        ({"images": IMAGES[..., 0]}, r"images have shape \(2, 4, 4\), must be \(N, H, W, 1 or 3\)"),
        ({"images": IMAGES[..., :2]}, r"images have shape \(2, 4, 4, 2\)"),
        ({"images": IMAGES[:0]}, r"images have shape \(0, 4, 4, 3\)"),
        ({"probabilities": PROBABILITIES[:1]}, r"shape \(1, 2\), must be \(2, K\)"),
        ({"probabilities": np.ones((2, 1), np.float32)}, r"shape \(2, 1\), must be \(2, K\)"),
        ({"labels": LABELS[:1]}, r"labels have shape \(1,\), must be \(2,\)"),
        ({"probabilities": PROBABILITIES * 0.9}, "sums to 1 ± 0.1, must be 1"),
        ({"probabilities": PROBABILITIES * np.nan}, r"outside 0\.\.1"),
        ({"probabilities": np.array([[-1, 2], [1, 0]], np.float32)}, r"outside 0\.\.1"),
        ({"labels": LABELS + 1}, r"labels reach 1\.\.2, must be 0\.\.1"),
        ({"labels": LABELS - 1}, r"labels reach -1\.\.0, must be 0\.\.1"),
    ],
)
def test_contradicting_arrays_are_refused_wherever_they_come_from(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    arrays: dict[str, Any] = {
        "images": IMAGES,
        "probabilities": PROBABILITIES,
        "labels": LABELS,
    } | changes

    with pytest.raises(ArtifactError, match=text):
        Samples(**arrays)
    with pytest.raises(ArtifactError, match=rf"^samples\.npz: .*{text}"):
        read_samples(save(tmp_path / "samples.npz", **arrays))


def test_more_samples_than_the_limit_are_refused() -> None:
    count = MAX_SAMPLES + 1
    images = np.zeros((count, 1, 1, 1), np.uint8)

    with pytest.raises(ArtifactError, match="10001 images, the limit is 10000"):
        Samples(images, np.full((count, 2), 0.5, np.float32))


def test_file_that_unpacks_to_more_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "samples.npz", "w") as archive:
        archive.writestr("images.npy", b"")
        archive.writestr("probabilities.npy", b"")
        archive.getinfo("images.npy").file_size = 512 * 1024**2 + 1  # stands in the directory

    with pytest.raises(ArtifactError, match="unpacks to 536870913 bytes, the limit is 536870912"):
        read_samples(tmp_path / "samples.npz")


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_header_that_claims_more_than_the_file_holds_allocates_nothing(
    tmp_path: Path, version: tuple[int, int]
) -> None:
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 4, 4, 3)}
    write_header = {
        (1, 0): np.lib.format.write_array_header_1_0,
        (2, 0): np.lib.format.write_array_header_2_0,
    }[version]
    write_header(header, claim)
    with zipfile.ZipFile(tmp_path / "samples.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("probabilities.npy", b"")

    with pytest.raises(ArtifactError, match=r"images\.npy claims shape \(1000000000000, 4, 4, 3\)"):
        read_samples(tmp_path / "samples.npz")


def test_pickled_objects_are_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = save(
        tmp_path / "samples.npz",
        images=np.array([Bomb()], dtype=object),
        probabilities=PROBABILITIES,
    )

    with pytest.raises(ArtifactError, match=r"images\.npy claims shape \(1,\) of object"):
        read_samples(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        pytest.param({"images": IMAGES}, id="no probabilities"),
        pytest.param(
            {"images": IMAGES, "probabilities": PROBABILITIES, "extra": LABELS}, id="an unknown one"
        ),
    ],
)
def test_file_with_other_arrays_is_refused(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(ArtifactError, match="must hold images and probabilities, may hold labels"):
        read_samples(save(tmp_path / "samples.npz", **arrays))


def test_other_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "samples.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", b"")
        archive.writestr("probabilities.npy", b"")

    with pytest.raises(ArtifactError, match="another method than deflate"):
        read_samples(tmp_path / "samples.npz")


def test_missing_file_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"^samples\.npz is missing$"):
        read_samples(tmp_path / "samples.npz")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9], ids=["empty", "a third of it", "most of it"])
def test_cut_file_is_an_artifact_error(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "samples.npz"
    write_samples(path, make_samples(make_manifest()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])

    with pytest.raises(ArtifactError, match=r"^samples\.npz cannot be read: "):
        read_samples(path)


def test_every_changed_byte_is_either_harmless_or_an_artifact_error(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    samples = make_samples(make_manifest())
    write_samples(path, samples)
    content = path.read_bytes()

    for position in range(0, len(content), 7):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]
        )
        try:
            read = read_samples(path)
        except ArtifactError:
            continue
        np.testing.assert_array_equal(read.images, samples.images)
