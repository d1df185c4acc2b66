from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.json_file import JsonFile

Numbers = JsonFile[dict[str, int]]


class BrokenError(Exception):
    """What went wrong, to tell it from everything else."""


def numbers(folder: Path, mode: int = 0o666, **options: Any) -> Numbers:
    content = TypeAdapter(dict[str, int])
    return JsonFile(folder / "numbers.json", content, BrokenError, mode=mode, **options)


def lock_of(file: Numbers) -> Path:
    return file.path.with_name(".numbers.json.lock")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


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


def test_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    behind, path = numbers(tmp_path / "behind"), tmp_path / "numbers.json"
    behind.write({"one": 1})
    path.symlink_to(behind.path)
    numbers(tmp_path).write({"two": 2})
    assert path.is_symlink()
    assert behind.read() == numbers(tmp_path).read() == {"two": 2}
    assert list(behind.path.parent.iterdir()) == [behind.path]


def test_file_that_a_link_leads_to_is_made_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    path = tmp_path / "numbers.json"
    path.symlink_to("behind/numbers.json")
    numbers(tmp_path).write({"one": 1})
    assert path.is_symlink()
    assert numbers(tmp_path / "behind").read() == {"one": 1}


def test_link_that_leads_in_a_circle_is_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.symlink_to(path.name)
    with pytest.raises(BrokenError, match=r"numbers\.json cannot be read: Too many levels"):
        numbers(tmp_path).read()


@pytest.mark.parametrize("is_held_by_the_link", [False, True])
def test_link_and_file_have_one_lock(is_held_by_the_link: bool, tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    behind = numbers(tmp_path / "behind", lock_timeout_s=0)
    (tmp_path / "numbers.json").symlink_to(behind.path)
    link = numbers(tmp_path, lock_timeout_s=0)
    first, second = (link, behind) if is_held_by_the_link else (behind, link)
    with first.locked(), pytest.raises(BrokenError, match="is held"), second.locked():
        pass


@pytest.mark.parametrize("lock_timeout_s", [0, 0.12])
def test_lock_that_is_held_is_given_up_and_named(lock_timeout_s: float, tmp_path: Path) -> None:
    file = numbers(tmp_path, lock_timeout_s=lock_timeout_s)
    descriptor = os.open(lock_of(file), os.O_RDONLY | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    message = rf"\.numbers\.json\.lock is held by another process .*{lock_timeout_s:g} s"
    with pytest.raises(BrokenError, match=message):
        file.locked().__enter__()
    os.close(descriptor)
    with file.locked():
        pass


def test_lock_that_is_freed_in_time_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = numbers(tmp_path, lock_timeout_s=60)
    descriptor = os.open(lock_of(file), os.O_RDONLY | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    waited_s: list[float] = []

    def free(seconds: float) -> None:
        waited_s.append(seconds)
        os.close(descriptor)

    monkeypatch.setattr("time.sleep", free)
    with file.locked():
        assert waited_s == [0.05]


@pytest.mark.parametrize(("folder", "lock"), [(0o700, 0o600), (0o755, 0o644), (0o2775, 0o664)])
def test_lock_can_be_used_by_whoever_can_use_the_folder(
    folder: int, lock: int, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(folder)
    if os.geteuid() == 0:  # only root may give files away
        os.chown(root, 12345, 12346)
    file = numbers(root)
    with umask(0o077), file.locked():
        pass
    status, of_folder = lock_of(file).stat(), root.stat()
    assert stat.S_IMODE(status.st_mode) == lock
    assert (status.st_uid, status.st_gid) == (of_folder.st_uid, of_folder.st_gid)


def test_lock_that_somebody_else_made_needs_no_right_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = numbers(tmp_path)
    lock_of(file).touch(0o444)
    system_open = os.open

    def open_as_somebody_else(path: Any, flags: int, *mode: int) -> int:  # root may write it
        if path == lock_of(file) and flags & os.O_ACCMODE != os.O_RDONLY:
            raise PermissionError(13, "Permission denied")
        return system_open(path, flags, *mode)

    monkeypatch.setattr("os.open", open_as_somebody_else)
    with file.locked(), pytest.raises(BrokenError, match="is held"):
        numbers(tmp_path, lock_timeout_s=0).locked().__enter__()


def test_lock_is_made_nowhere_else(tmp_path: Path) -> None:
    file = numbers(tmp_path)
    lock_of(file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BrokenError, match=r"numbers\.json\.lock cannot be made"):
        file.locked().__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_group_is_kept_where_the_owner_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []

    def give(descriptor: int, uid: int, gid: int) -> None:
        if uid != -1:
            raise PermissionError(1, "Operation not permitted")
        given.append((uid, gid))

    file = numbers(tmp_path)
    file.write({})
    monkeypatch.setattr("os.fchown", give)
    file.write({"one": 1})
    assert given == [(-1, file.path.stat().st_gid)]


def test_what_is_written_counts_where_the_folder_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system_open = os.open

    def open_no_folder(path: Any, flags: int, *mode: int) -> int:  # root may list every folder
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        return system_open(path, flags, *mode)

    monkeypatch.setattr("os.open", open_no_folder)
    file = numbers(tmp_path)
    file.write({"one": 1})
    assert file.read() == {"one": 1}
