from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from app.artifacts.checksums import file_record, folder_records, verify_files
from app.artifacts.layout import MANIFEST
from app.artifacts.limits import MAX_DESCRIPTION_BYTES, MAX_FILE_BYTES, MAX_FILES
from app.artifacts.manifest import MAX_MANIFEST_BYTES, FileRecord, read_manifest
from app.errors import ArtifactError
from tests.factories.versions import Defect, make_manifest, make_version


def verify(folder: Path) -> None:
    verify_files(folder, read_manifest(folder))


def test_record_of_a_file_is_its_sha256_and_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)

    assert file_record(path) == FileRecord(
        sha256=hashlib.sha256(b"abc" * 100_000).hexdigest(), size_bytes=300_000
    )


def test_records_hold_every_file_but_manifest_and_dot_files(tmp_path: Path) -> None:
    for name in ("manifest.json", "b", "a/manifest.json", "a/c/d", ".DS_Store", "a/.git/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    assert list(folder_records(tmp_path)) == ["a/c/d", "a/manifest.json", "b"]


def test_whole_version_is_accepted(tmp_path: Path) -> None:
    verify(make_version(tmp_path))


@pytest.mark.parametrize("name", [".DS_Store", "report/.nfs000000000001"])
def test_dot_files_that_systems_drop_do_not_spoil_a_version(tmp_path: Path, name: str) -> None:
    folder = make_version(tmp_path)
    (folder / name).write_bytes(b"x")

    verify(folder)


@pytest.mark.parametrize(
    ("defect", "text"),
    [
        (Defect.MISSING_FILE, r"'model\.keras' is missing$"),
        (Defect.WRONG_SIZE, r"'model\.keras' has 17 bytes, manifest\.json says 20$"),
        (Defect.WRONG_SHA256, r"'model\.keras' has SHA-256 \w{64}, manifest\.json says \w{64}$"),
        (Defect.UNLISTED_FILE, r"'report/notes\.txt' is not in manifest\.json$"),
        (Defect.SYMLINK, r"'model\.keras' is no regular file \(links are refused\)$"),
    ],
)
def test_altered_version_is_refused_with_the_file_and_the_difference(
    tmp_path: Path, defect: Defect, text: str
) -> None:
    folder = make_version(tmp_path, defect=defect)

    with pytest.raises(ArtifactError, match=text):
        verify(folder)


def test_first_of_several_missing_files_is_named_and_the_rest_counted(tmp_path: Path) -> None:
    record = FileRecord(sha256="0" * 64, size_bytes=1)
    manifest = make_manifest(files={"c": record, "a": record, "b": record})

    with pytest.raises(ArtifactError, match="'a' is missing, and 2 more"):
        verify_files(tmp_path, manifest)


def test_listed_dot_file_is_never_found(tmp_path: Path) -> None:
    (tmp_path / ".weights").write_bytes(b"x")
    manifest = make_manifest(files={".weights": file_record(tmp_path / ".weights")})

    with pytest.raises(ArtifactError, match=r"'\.weights' is missing"):
        verify_files(tmp_path, manifest)


def test_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    (folder / "more").symlink_to(folder / "report")

    with pytest.raises(ArtifactError, match="'more' is no regular file"):
        verify(folder)


def test_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    os.mkfifo(folder / "pipe")

    with pytest.raises(ArtifactError, match="'pipe' is no regular file"):
        verify(folder)


def test_folder_that_cannot_be_listed_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'gone' cannot be read: No such file"):
        verify_files(tmp_path / "gone", make_manifest())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"model.keras": MAX_FILE_BYTES + 1}, r"'model\.keras' has 4,294,967,297 bytes, the limit"),
        (
            {"openvino/model.xml": MAX_DESCRIPTION_BYTES + 1},
            r"'openvino/model\.xml' has 67,108,865",
        ),
        ({str(n): MAX_FILE_BYTES for n in range(5)}, "the files have 21,474,836,480 bytes"),
        ({str(n): 1 for n in range(MAX_FILES + 1)}, "lists 10,001 files, the limit is 10,000"),
    ],
    ids=["file", "description", "total", "number"],
)
def test_version_above_the_limits_is_refused_before_a_file_is_looked_for(
    sizes: dict[str, int], message: str, tmp_path: Path
) -> None:
    files = {name: FileRecord(sha256="0" * 64, size_bytes=size) for name, size in sizes.items()}

    with pytest.raises(ArtifactError, match=message):
        verify_files(tmp_path, make_manifest(files=files))


def test_folder_with_too_many_files_is_refused(tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    for number in range(MAX_FILES):
        (folder / str(number)).touch()

    with pytest.raises(ArtifactError, match="more than 10,000 files and folders"):
        verify_files(folder, read_manifest(folder))


def test_manifest_that_is_a_link_a_pipe_or_endless_is_refused(tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    path = folder / MANIFEST
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match=r"manifest\.json is no regular file"):
        read_manifest(folder)

    path.unlink()
    os.mkfifo(path)  # opened in the usual way, it would wait for a writer
    with pytest.raises(ArtifactError, match=r"manifest\.json is no regular file"):
        read_manifest(folder)

    path.unlink()
    with path.open("wb") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(ArtifactError, match=r"16,777,217 bytes, the limit is 16,777,216"):
        read_manifest(folder)
