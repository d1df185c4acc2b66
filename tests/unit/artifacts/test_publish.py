from __future__ import annotations

import json
import math
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.artifacts.checksums import verify_files
from app.artifacts.manifest import FileRecord, Manifest, read_manifest
from app.artifacts.publish import publish_version
from app.errors import ArtifactError
from tests.factories.versions import make_manifest, make_version, write_content


def fill(folder: Path, version: int) -> Manifest:
    manifest = make_manifest(version=version)
    write_content(folder, manifest)
    return manifest


def visible(store: Path, name: str = "cifar10") -> list[str]:
    return sorted(path.name for path in (store / name).iterdir() if path.name != ".last-version")


def test_published_version_passes_its_own_check(tmp_path: Path) -> None:
    folder = publish_version(tmp_path / "models", "cifar10", fill)

    assert folder == tmp_path / "models" / "cifar10" / "1"
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.version) == ("cifar10", 1)
    assert list(manifest.files) == ["model.keras", "report/report.html", "samples.npz"]
    verify_files(folder, manifest)


def test_manifest_is_indented_and_ends_with_a_newline(tmp_path: Path) -> None:
    text = (publish_version(tmp_path, "cifar10", fill) / "manifest.json").read_text()

    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_version_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    folder = publish_version(tmp_path, "cifar10", fill)
    (tmp_path / "made by mkdir").mkdir()

    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(
        (tmp_path / "made by mkdir").stat().st_mode
    )


def test_versions_ascend_from_the_highest_in_the_folder(tmp_path: Path) -> None:
    make_version(tmp_path, version=9)

    assert [publish_version(tmp_path, "cifar10", fill).name for _ in range(2)] == ["10", "11"]


def test_number_of_a_deleted_version_is_not_given_again(tmp_path: Path) -> None:
    publish_version(tmp_path, "cifar10", fill).rename(tmp_path / "elsewhere")

    assert publish_version(tmp_path, "cifar10", fill).name == "2"


def test_models_count_their_versions_apart(tmp_path: Path) -> None:
    def fill_other(folder: Path, version: int) -> Manifest:
        return fill(folder, version).model_copy(update={"name": "other"})

    publish_version(tmp_path, "cifar10", fill)

    assert publish_version(tmp_path, "other", fill_other) == tmp_path / "other" / "1"


def test_nothing_is_visible_while_a_version_is_filled(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(folder: Path, version: int) -> Manifest:
        seen.extend(visible(tmp_path))
        return fill(folder, version)

    publish_version(tmp_path, "cifar10", look)

    assert len(seen) == 1
    assert seen[0].startswith(".staging-1-")
    assert visible(tmp_path) == ["1"]


def test_check_sees_the_complete_version_before_it_appears(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def check(folder: Path) -> None:
        verify_files(folder, read_manifest(folder))
        seen.append(visible(tmp_path))

    publish_version(tmp_path, "cifar10", fill, check=check)

    [[staging]] = seen
    assert staging.startswith(".staging-1-")
    assert visible(tmp_path) == ["1"]


def test_version_that_fails_its_check_never_appears(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise RuntimeError(f"{folder.name} computes something else")

    with pytest.raises(RuntimeError, match="computes something else"):
        publish_version(tmp_path, "cifar10", fill, check=refuse)

    assert visible(tmp_path) == []


def test_failed_fill_leaves_nothing_and_loses_its_number(tmp_path: Path) -> None:
    def fail(folder: Path, version: int) -> Manifest:
        fill(folder, version)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        publish_version(tmp_path, "cifar10", fail)

    assert visible(tmp_path) == []
    assert publish_version(tmp_path, "cifar10", fill).name == "2"


def test_killed_publisher_leaves_nothing_visible_and_does_not_stop_the_next(
    tmp_path: Path,
) -> None:
    program = """
import os, sys
from pathlib import Path
from app.artifacts.publish import publish_version
from tests.factories.versions import make_manifest, write_content

def fill(folder, version):
    write_content(folder, make_manifest(version=version))
    os._exit(7)

publish_version(Path(sys.argv[1]), "cifar10", fill)
"""
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)

    assert killed.returncode == 7
    [left] = visible(tmp_path)
    assert left.startswith(".staging-1-")
    assert publish_version(tmp_path, "cifar10", fill).name == "2"


def test_two_publishers_at_once_get_two_numbers(tmp_path: Path) -> None:
    both_are_filling = Barrier(2, timeout=30)

    def fill_together(folder: Path, version: int) -> Manifest:
        both_are_filling.wait()
        return fill(folder, version)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(publish_version, tmp_path, "cifar10", fill_together) for _ in "ab"]
        folders = [future.result(timeout=60) for future in futures]

    assert sorted(folder.name for folder in folders) == ["1", "2"]
    for folder in folders:
        assert read_manifest(folder).version == int(folder.name)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_number_taken_meanwhile_by_hand_is_left_alone_and_the_next_used(
    tmp_path: Path, kind: str
) -> None:
    filled: list[int] = []

    def fill_late(folder: Path, version: int) -> Manifest:
        filled.append(version)
        if version == 1 and kind == "folder":
            make_version(tmp_path, version=1)
        elif version == 1:
            (tmp_path / "cifar10" / "1").write_text("by hand")
        return fill(folder, version)

    folder = publish_version(tmp_path, "cifar10", fill_late)

    assert filled == [1, 2]
    assert read_manifest(folder).version == 2
    assert visible(tmp_path) == ["1", "2"]


def test_empty_folder_of_the_number_is_replaced(tmp_path: Path) -> None:
    def fill_late(folder: Path, version: int) -> Manifest:
        (tmp_path / "cifar10" / "1").mkdir()
        return fill(folder, version)

    folder = publish_version(tmp_path, "cifar10", fill_late)

    assert folder.name == "1"
    assert read_manifest(folder).version == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "other"}, "of other:1 with 0 files, must be of cifar10:1 with none"),
        ({"version": 5}, "of cifar10:5 with 0 files, must be of cifar10:1"),
        ({"files": {"x": FileRecord(sha256="0" * 64, size_bytes=0)}}, "cifar10:1 with 1 files"),
        ({"metrics": {"loss": math.nan}}, r"manifest\.json is invalid at metrics\.loss"),
    ],
    ids=["of another model", "of another version", "with files already", "with a NaN"],
)
def test_manifest_that_the_service_would_refuse_is_not_published(
    tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    def fill_wrong(folder: Path, version: int) -> Manifest:
        return fill(folder, version).model_copy(update=changes)

    with pytest.raises(ArtifactError, match=text):
        publish_version(tmp_path, "cifar10", fill_wrong)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("missing", ["model.keras", "samples.npz"])
def test_version_without_model_or_samples_is_not_published(tmp_path: Path, missing: str) -> None:
    def fill_partly(folder: Path, version: int) -> Manifest:
        manifest = fill(folder, version)
        (folder / missing).unlink()
        return manifest

    with pytest.raises(ArtifactError, match=f"'{missing}' was not written"):
        publish_version(tmp_path, "cifar10", fill_partly)
    assert visible(tmp_path) == []


def test_dot_files_in_the_staging_folder_do_no_harm(tmp_path: Path) -> None:
    def fill_with_dots(folder: Path, version: int) -> Manifest:
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / ".#lock").symlink_to("nowhere")
        return fill(folder, version)

    folder = publish_version(tmp_path, "cifar10", fill_with_dots)

    verify_files(folder, read_manifest(folder))


@pytest.mark.parametrize("name", ["", "../up", "Big", ".hidden", "a/b"])
def test_impossible_model_name_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(ArtifactError, match="cannot name a model"):
        publish_version(tmp_path / "models", name, fill)
    assert not (tmp_path / "models").exists()


def test_damaged_counter_stops_publishing_rather_than_reusing_a_number(tmp_path: Path) -> None:
    publish_version(tmp_path, "cifar10", fill)
    (tmp_path / "cifar10" / ".last-version").write_text("one")

    with pytest.raises(ArtifactError, match=r"\.last-version of cifar10 holds b'one'"):
        publish_version(tmp_path, "cifar10", fill)
