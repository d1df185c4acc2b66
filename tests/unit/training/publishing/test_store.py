from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from app.artifacts.manifest import Gate, Manifest
from app.artifacts.publish import publish_version
from app.errors import ArtifactError
from tests.factories.versions import (
    Defect,
    edit_manifest,
    make_manifest,
    make_version,
    write_content,
)
from training.publishing.store import is_good, model_versions, remove_version


def visible(model_dir: Path) -> list[str]:
    return sorted(path.name for path in model_dir.iterdir() if not path.name.startswith("."))


def fill(folder: Path, version: int) -> Manifest:
    manifest = make_manifest(version=version)
    write_content(folder, manifest)
    return manifest


def test_versions_are_found_in_their_order(tmp_path: Path) -> None:
    for version in (10, 9):
        make_version(tmp_path, "flowers", version)
    make_version(tmp_path, "birds", 1)
    for ignored in ("flowers/.staging-11-ab", "flowers/007", "flowers/latest", "Some Notes/1"):
        (tmp_path / ignored).mkdir(parents=True)
    (tmp_path / "flowers" / "12").write_text("no folder")
    (tmp_path / "empty").mkdir()

    assert model_versions(tmp_path) == {"birds": [1], "flowers": [9, 10]}


def test_store_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert model_versions(tmp_path / "models") == {}


@pytest.mark.parametrize("defect", Defect, ids=lambda defect: defect.value)
def test_damaged_version_is_not_good(defect: Defect, tmp_path: Path) -> None:
    assert not is_good(make_version(tmp_path, defect=defect))


@pytest.mark.parametrize(
    ("gate", "good"),
    [
        (Gate(passed=True), True),
        (Gate(passed=False, forced=True), True),
        (Gate(passed=False), False),
    ],
    ids=["passed", "forced", "failed"],
)
def test_version_is_good_if_its_gate_let_it_through(gate: Gate, good: bool, tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    edit_manifest(folder, gate=gate.model_dump())

    assert is_good(folder) is good


def test_removed_version_is_gone_without_a_trace(tmp_path: Path) -> None:
    first, second = (make_version(tmp_path, version=version) for version in (1, 2))

    remove_version(first)

    assert {path.name for path in first.parent.iterdir()} == {second.name, ".last-version"}


def test_number_of_a_removed_version_is_never_given_again(tmp_path: Path) -> None:
    make_version(tmp_path, version=1)
    remove_version(make_version(tmp_path, version=7))

    published = publish_version(tmp_path, "cifar10", fill)

    assert published.name == "8"


def test_removal_does_not_lower_the_last_number(tmp_path: Path) -> None:
    make_version(tmp_path, version=1)
    folder = make_version(tmp_path, version=2)
    (folder.parent / ".last-version").write_text("12\n")

    remove_version(folder)

    assert (folder.parent / ".last-version").read_text() == "12\n"


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(lambda root: None, id="alone"),
        pytest.param(
            lambda root: make_version(root, version=2, defect=Defect.WRONG_SHA256),
            id="beside a damaged one",
        ),
        pytest.param(lambda root: make_version(root, "flowers", 2), id="beside another model"),
    ],
)
def test_last_good_version_stays_unless_forced(
    others: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = make_version(tmp_path, version=1)
    others(tmp_path)

    with pytest.raises(ArtifactError, match=r"cifar10:1 is the last good version of cifar10; --fo"):
        remove_version(folder)
    assert is_good(folder)

    remove_version(folder, force=True)
    assert not folder.exists()


def test_damaged_version_can_be_removed_though_no_good_one_is_there(tmp_path: Path) -> None:
    folder = make_version(tmp_path, defect=Defect.BROKEN_MANIFEST)

    remove_version(folder)

    assert visible(folder.parent) == []


def test_two_who_remove_the_last_two_good_versions_leave_one(tmp_path: Path) -> None:
    folders = [make_version(tmp_path, version=version) for version in (1, 2)]
    barrier = Barrier(2)

    def remove(folder: Path) -> bool:
        barrier.wait(timeout=10)
        try:
            remove_version(folder)
        except ArtifactError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        removed = list(pool.map(remove, folders))

    assert sorted(removed) == [False, True]
    assert len(visible(tmp_path / "cifar10")) == 1


@pytest.mark.parametrize("name", ["latest", "007", "9"], ids=["a word", "zeros", "nothing there"])
def test_only_a_version_can_be_removed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10" / name
    if name != "9":
        folder.mkdir(parents=True)

    with pytest.raises(ArtifactError, match=f"{name} is no version in a store"):
        remove_version(folder, force=True)


def test_damaged_number_file_is_no_reason_to_guess(tmp_path: Path) -> None:
    folder = make_version(tmp_path)
    (folder.parent / ".last-version").write_text("seven")

    with pytest.raises(ArtifactError, match=r"\.last-version of cifar10 holds b'seven'"):
        remove_version(folder, force=True)
    assert folder.is_dir()
