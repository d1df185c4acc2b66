"""Where the next batch goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from app.batching.lane import LANE_DEPTH, DeviceLane, next_lane


@dataclass(eq=False)
class Lane:
    """What is asked of a lane: how many batches there are, since when, and whether it lives."""

    count: int = 0
    since_s: float = 0.0
    has_died: bool = False
    is_overdue: bool = False

    @property
    def current(self) -> list[int] | None:
        return [1] if self.count else None

    @property
    def has_room(self) -> bool:
        return self.count < LANE_DEPTH and not (self.has_died or self.is_overdue)

    @property
    def is_joinable(self) -> bool:
        return self.count > 0 and not self.is_overdue


def free() -> Lane:
    return Lane()


def dead() -> Lane:
    return Lane(has_died=True)


def overdue() -> Lane:
    return Lane(1, is_overdue=True)


def full() -> Lane:
    return Lane(LANE_DEPTH)


@pytest.mark.parametrize(
    ("lanes", "waiting", "joins_at", "expected"),
    [
        pytest.param([free(), free()], 1, 1, 0, id="of free ones the first"),
        pytest.param([Lane(since_s=5), Lane(since_s=1)], 1, 1, 0, id="however long both are idle"),
        pytest.param([Lane(1), free()], 1, 1, 1, id="a free one before one that works"),
        pytest.param([Lane(1, 5), Lane(1, 2)], 1, 1, 1, id="behind what has run longest"),
        pytest.param([full(), Lane(1, 5)], 1, 1, 1, id="where there is room"),
        pytest.param([full(), full()], 99, 1, None, id="nowhere if all are full"),
        pytest.param([dead(), free()], 1, 1, 1, id="not to a dead one"),
        pytest.param([dead(), dead()], 1, 1, None, id="nowhere if all are dead"),
        pytest.param([Lane(1), free()], 15, 16, 0, id="too few to join wait for who works"),
        pytest.param([free(), Lane(1)], 15, 16, 1, id="whoever works"),
        pytest.param([Lane(1), free()], 16, 16, 1, id="enough to join"),
        pytest.param([full(), free()], 15, 16, None, id="too few, and no room to wait"),
        pytest.param([free(), free()], 1, 16, 0, id="where nobody works few are enough"),
        pytest.param([dead(), free()], 1, 16, 1, id="the dead do not work"),
        pytest.param([overdue(), free()], 1, 16, 1, id="nobody waits for who does not come back"),
        pytest.param([overdue(), Lane(1, 5)], 1, 16, 1, id="nor stands behind it"),
        pytest.param([overdue(), overdue()], 99, 1, None, id="nowhere if none comes back"),
        pytest.param([Lane(1, 5), Lane(1, 2)], 1, 16, 1, id="where all work, behind the longest"),
    ],
)
def test_next_batch_goes(
    lanes: list[Lane], waiting: int, joins_at: int, expected: int | None
) -> None:
    given = cast(list[DeviceLane], lanes)
    found = next_lane(given, waiting, joins_at)
    assert found is (None if expected is None else given[expected])
