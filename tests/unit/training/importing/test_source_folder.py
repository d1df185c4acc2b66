"""What a folder that is imported may hold, found out by looking at it from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.artifacts.limits import MAX_FILE_BYTES, MAX_FILES
from app.errors import ArtifactError
from training.importing.source_folder import check_source_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def test_plain_folder_is_let_through_also_by_a_link(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    check_source_folder(folder)
    check_source_folder(tmp_path / "link")


def test_links_within_are_let_through_and_circles_end(folder: Path) -> None:
    (folder / "again").symlink_to(folder)
    (folder / "graph").symlink_to("saved_model.pb")

    check_source_folder(folder)


def test_link_that_leads_out_is_refused_by_name(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (folder / "variables" / "data").symlink_to(tmp_path / "secret")

    with pytest.raises(ArtifactError, match="theirs/variables/data is a link that leads out"):
        check_source_folder(folder)


def test_pipe_is_refused_by_name(folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    with pytest.raises(ArtifactError, match="theirs/pipe is neither a file nor a folder"):
        check_source_folder(folder)


def test_file_above_the_limit_is_refused_with_both_sizes(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # takes nothing on the disk

    with pytest.raises(ArtifactError, match=f"theirs/large has {MAX_FILE_BYTES + 1:,} bytes"):
        check_source_folder(folder)


def test_folder_with_too_many_files_is_refused(folder: Path) -> None:
    for number in range(MAX_FILES):
        os.link(folder / "saved_model.pb", folder / str(number))

    with pytest.raises(ArtifactError, match=f"more than {MAX_FILES:,} files"):
        check_source_folder(folder)


def test_folder_with_too_many_bytes_is_refused(folder: Path) -> None:
    for number in range(5):
        with (folder / str(number)).open("wb") as file:
            file.truncate(MAX_FILE_BYTES)

    with pytest.raises(ArtifactError, match="more than 17,179,869,184 bytes"):
        check_source_folder(folder)
