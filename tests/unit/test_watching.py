"""Watching a real file system."""

# ruff: noqa: ASYNC240 - what blocks is a folder of one file
from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.watching import WatchMode, WatchPolicy, folder_changes, is_mounted_alone

pytestmark = pytest.mark.timeout(30)

NEVER_S = 3600.0


async def next_change(changes: AsyncIterator[None]) -> None:
    await asyncio.wait_for(anext(changes), 20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    return store


async def changed_when_something_is_written(changes: AsyncIterator[None], path: Path) -> None:
    waiting = asyncio.create_task(next_change(changes))
    number = 0
    while not waiting.done():  # when the watch begins is not told: write until it has
        number += 1
        path.write_text(str(number))
        await asyncio.wait([waiting], timeout=0.2)
    await waiting


async def test_events_tell_of_a_file_deep_inside(root: Path) -> None:
    (root / "cifar10" / "7").mkdir(parents=True)
    changes = folder_changes(root, WatchPolicy("events", NEVER_S))

    await changed_when_something_is_written(changes, root / "cifar10" / "7" / "manifest.json")

    await changes.aclose()


@pytest.mark.parametrize("by", ["rename", "rename of what a link leads to", "writing"])
async def test_events_tell_of_a_file_that_changes_time_and_again(root: Path, by: str) -> None:
    file = root / "keys.json"
    file.write_text("0")
    if by == "rename of what a link leads to":  # so do orchestrators replace mounted secrets
        (root / "version 0").mkdir()
        file.rename(root / "version 0" / file.name)
        (root / "data").symlink_to("version 0")
        file.symlink_to("data/keys.json")
    changes = folder_changes(root, WatchPolicy("events", NEVER_S), is_deep=False)
    await changed_when_something_is_written(changes, root / "until-it-watches")

    for number in range(3):
        text = f"change {number}"
        change(file, by, text)
        seen = ""
        while seen != text:
            await next_change(changes)
            seen = file.read_text()

    await changes.aclose()


def change(file: Path, by: str, text: str) -> None:
    if by == "writing":
        file.write_text(text)
    elif by == "rename":
        file.with_name("part").write_text(text)
        file.with_name("part").replace(file)
    else:
        version = file.with_name(f"version of {text}")
        version.mkdir()
        (version / file.name).write_text(text)
        file.with_name("next").symlink_to(version.name)
        file.with_name("next").replace(file.with_name("data"))


@pytest.mark.parametrize("mode", ["events", "poll"])
async def test_it_looks_each_interval_even_if_nothing_is_told(root: Path, mode: WatchMode) -> None:
    changes = folder_changes(root, WatchPolicy(mode, 0.05))

    for _ in range(3):
        await next_change(changes)

    await changes.aclose()


async def test_store_that_is_not_there_yet_is_waited_for(root: Path) -> None:
    shutil.rmtree(root)
    changes = folder_changes(root, WatchPolicy("events", 0.05))

    await next_change(changes)
    root.mkdir()
    await next_change(changes)
    await changed_when_something_is_written(changes, root / "new")

    await changes.aclose()


async def test_store_that_was_taken_away_and_put_back_is_watched_again(root: Path) -> None:
    changes = folder_changes(root, WatchPolicy("events", 0.2))
    await next_change(changes)

    root.rename(root.with_name("aside"))
    root.mkdir()
    await next_change(changes)  # at the latest by the interval
    await changed_when_something_is_written(changes, root / "new")

    await changes.aclose()


async def test_nothing_is_watched_when_it_is_off(root: Path) -> None:
    assert [change async for change in folder_changes(root, WatchPolicy("off"))] == []


async def test_watching_ends_at_once_when_it_is_cancelled(root: Path) -> None:
    changes = folder_changes(root, WatchPolicy("events", NEVER_S))
    waiting = asyncio.create_task(next_change(changes))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 10)


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_s is 0, must be above 0"):
        WatchPolicy(interval_s=0)


async def test_without_events_it_looks_at_intervals_and_says_so_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_watches_left(*paths: Path, **options: object) -> AsyncIterator[object]:
        raise RuntimeError("OS file watch limit reached")

    monkeypatch.setattr("app.watching.awatch", no_watches_left)
    changes = folder_changes(root, WatchPolicy("events", 0.02))

    for _ in range(3):
        await next_change(changes)

    assert [record.getMessage() for record in caplog.records] == [
        "folder not watched, looking at intervals"
    ]
    await changes.aclose()


async def test_without_threads_it_looks_at_intervals_until_there_are_some(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_thread = asyncio.to_thread

    async def no_threads_left(call: Callable[..., Any], *arguments: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("asyncio.to_thread", no_threads_left)
    changes = folder_changes(root, WatchPolicy("events", 0.02))
    for _ in range(3):
        await next_change(changes)
    assert [record.getMessage() for record in caplog.records] == [
        "folder not watched, looking at intervals"
    ]

    monkeypatch.setattr("asyncio.to_thread", in_thread)
    await changed_when_something_is_written(changes, root / "new")
    await changes.aclose()


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
43 27 254:0 /home/me/keys.json {} rw,relatime - ext4 /dev/vda rw
44 27 254:0 /home/me/keys /keys rw,relatime - ext4 /dev/vda rw
"""


@pytest.mark.parametrize("name", ["keys.json", "a file.json", "a\\b.json"])
def test_file_that_is_mounted_itself_is_told_from_one_in_a_mounted_folder(
    name: str, tmp_path: Path
) -> None:
    file, mounts = tmp_path / name, tmp_path / "mountinfo"
    escaped = str(file).replace("\\", "\\134").replace(" ", "\\040")
    mounts.write_text(MOUNTS.format(escaped))
    (tmp_path / "link").symlink_to(file)
    assert is_mounted_alone(file, mounts)
    assert is_mounted_alone(tmp_path / "link", mounts)
    assert not is_mounted_alone(Path("/keys/keys.json"), mounts)
    assert not is_mounted_alone(file.with_name("other.json"), mounts)


def test_where_nothing_tells_of_mounts_no_file_is_one(tmp_path: Path) -> None:
    assert not is_mounted_alone(tmp_path / "keys.json", tmp_path / "nowhere")
    assert not is_mounted_alone(tmp_path / "keys.json")
