from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.json_file import JsonFile

Numbers = JsonFile[dict[str, int]]


class BrokenError(Exception):
    """What went wrong, to tell it from everything else."""


def numbers(folder: Path, mode: int = 0o666) -> Numbers:
    content = TypeAdapter(dict[str, int])
    return JsonFile(folder / "numbers.json", content, BrokenError, mode=mode)


def permissions(file: Numbers) -> int:
    return stat.S_IMODE(file.path.stat().st_mode)


def test_nothing_is_read_where_there_is_no_file(tmp_path: Path) -> None:
    assert numbers(tmp_path).read() is None


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = numbers(tmp_path)
    file.write({"one": 1})
    file.write({"two": 2})
    assert file.read() == {"two": 2}
    assert list(tmp_path.iterdir()) == [file.path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "numbers.json: document: Invalid JSON"),
        ("[]", "numbers.json: document: Input should be an object"),
        ('{"key": "ks_secret"}', "numbers.json: key: Input should be a valid integer"),
    ],
)
def test_something_else_is_refused_with_the_place_and_without_the_value(
    text: str, message: str, tmp_path: Path
) -> None:
    file = numbers(tmp_path)
    file.path.write_text(text)
    with pytest.raises(BrokenError, match=message) as caught:
        file.read()
    assert "ks_secret" not in str(caught.value)


def test_what_cannot_be_read_is_told_with_the_path(tmp_path: Path) -> None:
    file = numbers(tmp_path)
    file.path.mkdir()
    with pytest.raises(BrokenError, match=r"numbers\.json cannot be read: Is a directory"):
        file.read()


def test_folder_that_is_not_there_is_told_with_the_path(tmp_path: Path) -> None:
    file = numbers(tmp_path / "nowhere")
    with pytest.raises(BrokenError, match=r"nowhere/numbers\.json cannot be written: No such"):
        file.write({})
    with pytest.raises(BrokenError, match=r"numbers\.json\.lock cannot be made: No such"):
        file.locked().__enter__()


def test_new_file_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    file = numbers(tmp_path, mode=0o600)
    file.write({})
    assert permissions(file) == 0o600


def test_file_that_exists_keeps_its_own_mode_and_owner(tmp_path: Path) -> None:
    file = numbers(tmp_path, mode=0o600)
    file.path.write_text("{}")
    file.path.chmod(0o640)
    before = file.path.stat()
    if os.geteuid() == 0:  # only root may give files away
        os.chown(file.path, 12345, 12346)
        before = file.path.stat()
    file.write({"one": 1})
    after = file.path.stat()
    assert permissions(file) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_writers_that_lock_do_not_overwrite_each_other(tmp_path: Path) -> None:
    def add(name: str) -> None:
        file = numbers(tmp_path)
        with file.locked():
            file.write((file.read() or {}) | {name: 1})

    threads = [threading.Thread(target=add, args=(str(number),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(tmp_path).read() == {str(number): 1 for number in range(16)}
