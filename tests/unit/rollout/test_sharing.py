from __future__ import annotations

import pytest

from app.rollout.sharing import Share, position_of

KEYS = [f"user-{number}" for number in range(20_000)]


def test_a_key_is_always_at_the_same_place() -> None:
    assert position_of("user", "cifar10:3") == position_of("user", "cifar10:3")


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.99])
def test_keys_are_spread_evenly(share: float) -> None:
    taken = sum(position_of(key, "cifar10:3") < share for key in KEYS) / len(KEYS)
    # Four standard deviations of a fair draw.
    assert abs(taken - share) < 4 * (share * (1 - share) / len(KEYS)) ** 0.5


def test_other_versions_meet_other_keys() -> None:
    first, second = (
        {key for key in KEYS if position_of(key, salt) < 0.1} for salt in ("m:1", "m:2")
    )
    assert len(first & second) / len(first) < 0.2


@pytest.mark.parametrize(
    "key", ["", "ü", "x" * 10_000, "\udcff".encode("utf-8", "replace").decode()]
)
def test_any_text_is_a_key(key: str) -> None:
    assert 0 <= position_of(key, "m:" + "1" * 90) < 1


@pytest.mark.parametrize(
    ("share", "taken"),
    [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)],
    ids=["none", "every fourth", "every second", "all"],
)
def test_share_is_taken_evenly(share: float, taken: int) -> None:
    chooser = Share(share)
    choices = [chooser.takes_next() for _ in range(100)]
    assert sum(choices) == taken
    assert all(abs(sum(choices[:n]) - n * share) < 1 for n in range(101))
