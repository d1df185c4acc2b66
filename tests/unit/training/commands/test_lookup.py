from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import ArtifactError
from tests.factories.versions import make_version
from training.commands.lookup import find_version


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for version in (2, 10, 9):
        make_version(tmp_path / "models", "flowers", version)
    make_version(tmp_path / "models", "birds", 1)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("flowers", "flowers/10"),
        ("flowers:9", "flowers/9"),
        ("flowers/2", "flowers/2"),
        ("birds", "birds/1"),
    ],
    ids=["newest", "colon", "slash", "another model"],
)
def test_version_is_found_in_the_store(text: str, folder: str, store: Path) -> None:
    assert find_version(store, text) == store / folder


def test_version_is_found_by_its_folder_outside_the_store(store: Path, tmp_path: Path) -> None:
    folder = make_version(tmp_path / "other", "flowers", 3)

    assert find_version(store, f"{folder}/") == folder


def test_the_store_goes_before_the_current_folder(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version(tmp_path / "here", "flowers", 9)
    make_version(tmp_path / "here", "flowers", 11)
    monkeypatch.chdir(tmp_path / "here")

    assert find_version(store, "flowers/9") == store / "flowers" / "9"
    assert find_version(store, "flowers/11") == Path("flowers/11")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flowers:7", "models has no version 7 of flowers, it has 2, 9, 10"),
        ("trees", "no version 'trees': .*models holds birds, flowers; give NAME"),
        ("trees:1", "no version 'trees:1': .*models holds birds, flowers; give NAME"),
        ("flowers:latest", "no version 'flowers:latest'"),
        ("flowers:09", "no version 'flowers:09'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(text: str, message: str, store: Path) -> None:
    with pytest.raises(ArtifactError, match=message):
        find_version(store, text)


def test_empty_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no version 'flowers': .*models holds nothing"):
        find_version(tmp_path / "models", "flowers")
