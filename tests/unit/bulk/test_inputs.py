"""From arguments to files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.bulk.inputs import InputError, Inputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.png", "a.JPG", "notes.txt", ".hidden.png", "cat/2.png", "cat/1.png", "cat/x/3.webp",
        "ant/4.gif", ".git/5.png",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "recursive", "expected"),
    [
        pytest.param(["b.png", "a.JPG"], False, ["b.png", "a.JPG"], id="files as they are given"),
        pytest.param(["notes.txt"], False, ["notes.txt"], id="a named file, whatever its name"),
        pytest.param(["."], False, ["./a.JPG", "./b.png"], id="images of a folder, sorted"),
        pytest.param(["cat"], False, ["cat/1.png", "cat/2.png"], id="not what is below it"),
        pytest.param(
            ["."], True,
            ["./a.JPG", "./b.png", "./ant/4.gif", "./cat/1.png", "./cat/2.png", "./cat/x/3.webp"],
            id="at any depth",
        ),
        pytest.param(["*.png"], False, ["b.png"], id="a pattern"),
        pytest.param(
            ["cat/**"], False, ["cat/1.png", "cat/2.png", "cat/x/3.webp"], id="any depth by **"
        ),
        pytest.param(
            ["**/**/*.webp"], False, ["cat/x/3.webp"], id="once, however often ** matches it"
        ),
        pytest.param(["c*"], False, ["cat/1.png", "cat/2.png"], id="a folder that matches"),
        pytest.param(["cat/[12].png"], False, ["cat/1.png", "cat/2.png"], id="brackets"),
        pytest.param(
            ["cat/2.png", "cat", "./cat/1.png"], False, ["cat/2.png", "cat/1.png"], id="once each"
        ),
        pytest.param(["-"], False, ["-"], id="the standard input"),
    ],
)  # fmt: skip
def test_arguments_mean_files_in_one_order(
    folder: Path, arguments: list[str], recursive: bool, expected: list[str]
) -> None:
    inputs = Inputs(arguments, recursive=recursive)

    assert list(inputs) == list(inputs) == expected
    assert inputs.count == len(expected)


def test_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "a[1].png").write_bytes(b"")
    assert list(Inputs(["a[1].png"])) == ["a[1].png"]


def test_links_are_followed_to_files_but_not_to_folders(folder: Path) -> None:
    (folder / "link.png").symlink_to("b.png")
    (folder / "loop").symlink_to(".")
    found = list(Inputs(["."], recursive=True))
    assert "./link.png" in found
    assert not [name for name in found if "loop" in name]


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("nowhere.png", id="to nothing"),
        pytest.param("gone.png", id="to itself"),
        pytest.param("x" * 300, id="to a name that is too long"),
    ],
)
@pytest.mark.parametrize("argument", ["c*", "cat", "cat/gone.png", "cat/g*.png", "cat/**/g*.png"])
def test_link_to_nowhere_is_a_file_that_cannot_be_read(
    folder: Path, argument: str, target: str
) -> None:
    (folder / "cat" / "gone.png").symlink_to(target)
    assert "cat/gone.png" in list(Inputs([argument]))


def test_pipe_is_read_only_where_it_is_named(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "0.png")
    (folder / "cat" / "link.png").symlink_to("0.png")
    files = ["cat/1.png", "cat/2.png"]
    for argument in ("cat", "cat/*.png", "cat/**.png"):
        assert list(Inputs([argument])) == files
    assert list(Inputs(["cat/0.png"])) == ["cat/0.png"]


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("none.png", "none.png is not there"),
        ("*.webp", r"no image in \*\.webp"),
        ("empty", r"no image in empty \(.*\.png"),
        ("outer", "no image in outer; --recursive looks into"),
    ],
)
def test_nothing_to_do_is_said_at_once(folder: Path, argument: str, told: str) -> None:
    (folder / "empty").mkdir()
    (folder / "outer" / "inner").mkdir(parents=True)
    with pytest.raises(InputError, match=told):
        Inputs([argument])
