"""Samples are waited for within bounds, whatever the disk does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from app.artifacts.manifest import read_manifest
from app.errors import DeadlineExceededError, QueueFullError
from app.registry.store import ModelStore, StoredVersion
from app.samples.library import SampleLibrary
from app.types import ServableId
from tests.factories.versions import make_version

PATIENCE_S = 5.0
LATE_S = 3600.0


class SlowStore(ModelStore):
    """A store on a disk that hangs until it is told otherwise."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked = threading.Event()
        self.go = threading.Event()
        self.calls = 0

    def locate(self, servable_id: ServableId) -> StoredVersion:
        self.calls += 1
        self.asked.set()
        assert self.go.wait(PATIENCE_S), "the test lets the disk go on"
        return super().locate(servable_id)


@dataclass
class OneVersion:
    """Stands for the catalog and for the version that it knows."""

    id: ServableId
    manifest: Any

    def resolve(self, name: str) -> OneVersion:
        return self


@dataclass
class Shelves:
    library: SampleLibrary
    store: SlowStore

    async def begin(self) -> asyncio.Task[Any]:
        """Ask, and return once the disk is asked."""
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(self.library.all("cifar10", loop.time() + LATE_S))
        assert await asyncio.to_thread(self.store.asked.wait, PATIENCE_S)
        return task


@pytest.fixture
async def shelves(tmp_path: Path) -> AsyncIterator[Shelves]:
    make_version(tmp_path)
    store = SlowStore(tmp_path)
    manifest = read_manifest(tmp_path / "cifar10" / "1")
    catalog = OneVersion(ServableId("cifar10", 1), manifest)
    library = SampleLibrary(cast(Any, catalog), store, tmp_path / "samples", max_waiting=2)
    yield Shelves(library, store)
    store.go.set()
    library.close()


async def test_disk_that_hangs_holds_nobody_beyond_their_deadline(shelves: Shelves) -> None:
    soon_s = asyncio.get_running_loop().time() + 0.05
    for ask in (
        shelves.library.all("cifar10", soon_s),
        shelves.library.one("cifar10", 0, soon_s),
        shelves.library.image("cifar10", 0, soon_s),
    ):
        with pytest.raises(DeadlineExceededError, match="before the samples had been read"):
            await ask
    shelves.store.go.set()
    found = await shelves.library.all("cifar10", asyncio.get_running_loop().time() + LATE_S)
    assert len(found) == 4
    assert shelves.store.calls == 2, "those who left before the thread took them ask no disk"


async def test_more_than_may_wait_are_refused_at_once(shelves: Shelves) -> None:
    first = await shelves.begin()
    second = await shelves.begin()
    late_s = asyncio.get_running_loop().time() + LATE_S
    with pytest.raises(QueueFullError, match=r"2 requests .* is 2 \(KERASERVE_MAX_QUEUE_SIZE\)"):
        await shelves.library.image("cifar10", 0, late_s)
    shelves.store.go.set()
    assert [len(await task) for task in (first, second)] == [4, 4]
    assert len(await shelves.library.all("cifar10", late_s)) == 4


async def test_who_leaves_makes_room(shelves: Shelves) -> None:
    tasks = [await shelves.begin(), await shelves.begin()]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    shelves.store.go.set()
    late_s = asyncio.get_running_loop().time() + LATE_S
    sample, png = await shelves.library.image("cifar10", 3, late_s)
    assert (sample.index, png[:4]) == (3, b"\x89PNG")
