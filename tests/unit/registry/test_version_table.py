from __future__ import annotations

from pathlib import Path

from app.registry.store import StoredVersion
from app.registry.version_entry import VersionEntry
from app.registry.version_policy import Latest
from app.registry.version_table import VersionTable
from app.types import ServableId, ServableState

AVAILABLE = ServableState.AVAILABLE
KEEP_WARM_S = 60.0


class Time:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def available(table: VersionTable[str], number: int) -> VersionEntry[str]:
    entry = table.add(StoredVersion(ServableId("cifar10", number), Path(str(number))))
    table.on_disk = (*table.on_disk, number)
    table.set_state(entry, AVAILABLE)
    return entry


def test_previous_default_is_kept_until_its_time_is_over() -> None:
    clock = Time()
    table = VersionTable[str]("cifar10", Latest(), keep_warm_s=KEEP_WARM_S, clock=clock)
    first = available(table, 1)
    available(table, 2)

    assert table.superseded() == []
    clock.now_s += KEEP_WARM_S - 0.1
    assert table.superseded() == []
    clock.now_s += 0.1
    assert table.superseded() == [first]


def test_only_the_one_before_is_kept() -> None:
    table = VersionTable[str]("cifar10", Latest(), keep_warm_s=KEEP_WARM_S, clock=Time())
    first = available(table, 1)
    available(table, 2)
    available(table, 3)

    assert table.superseded() == [first]


def test_version_that_was_never_the_default_is_not_kept() -> None:
    table = VersionTable[str]("cifar10", Latest(), keep_warm_s=KEEP_WARM_S, clock=Time())
    available(table, 3)
    older = available(table, 2)

    assert table.superseded() == [older]


def test_version_that_was_rolled_back_from_is_kept_as_the_newest() -> None:
    table = VersionTable[str]("cifar10", Latest(), keep_warm_s=0, clock=Time())
    first = available(table, 1)
    table.set_labels({"stable": 1})
    available(table, 2)

    assert table.default is first
    assert table.superseded() == []
