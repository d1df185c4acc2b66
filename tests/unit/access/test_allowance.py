"""How much one caller may ask: tables of requests over time."""

from __future__ import annotations

import pytest

from app.access.allowance import Allowance, LimitPolicy

TWO = LimitPolicy(rate_per_s=2, burst=3)


@pytest.mark.parametrize(
    ("policy", "quota", "window_s"),
    [
        pytest.param(LimitPolicy(), 1, 0, id="no rate"),
        pytest.param(LimitPolicy(0.1), 1, 10, id="one in ten seconds"),
        pytest.param(LimitPolicy(2.5), 3, 1.2, id="a second's worth, rounded up"),
        pytest.param(LimitPolicy(2, 10), 10, 5, id="a burst"),
    ],
)
def test_bucket_holds_the_burst_or_a_seconds_worth(
    policy: LimitPolicy, quota: int, window_s: float
) -> None:
    assert policy.quota == quota
    assert policy.window_s == pytest.approx(window_s)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate_per_s": -1}, "below 0"),
        ({"max_concurrency": -1}, "below 0"),
        ({"burst": 5}, "burst of 5 needs a rate"),
    ],
)
def test_policy_that_means_nothing_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LimitPolicy(**values)


@pytest.mark.parametrize(
    ("times_s", "waits_s"),
    [
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0.5], id="a burst and no more"),
        pytest.param([0, 0, 0, 0.25], [0, 0, 0, 0.25], id="half a token is none"),
        pytest.param([0, 0, 0, 0.5, 0.5], [0, 0, 0, 0, 0.5], id="it fills by the rate"),
        pytest.param([0, 0, 0, 99, 99, 99, 99], [0, 0, 0, 0, 0, 0, 0.5], id="never above full"),
        pytest.param([0.5 * n for n in range(20)], [0] * 20, id="the rate itself, for ever"),
        pytest.param([0, 0, 0, 0, 0, 0.5], [0, 0, 0, 0.5, 0.5, 0], id="refusals cost nothing"),
    ],
)
def test_requests_over_time(times_s: list[float], waits_s: list[float]) -> None:
    allowance = Allowance(TWO, now_s=0)
    assert [allowance.take(now_s) for now_s in times_s] == pytest.approx(waits_s)


@pytest.mark.parametrize("rate_per_s", [0.3, 7, 1000 / 3])
def test_who_comes_when_they_were_told_is_let_in(rate_per_s: float) -> None:
    allowance = Allowance(LimitPolicy(rate_per_s, burst=1), now_s=12345.678)
    now_s = 12345.678
    for _ in range(1000):
        assert allowance.take(now_s) == 0
        now_s += allowance.take(now_s)


def test_without_a_rate_nobody_waits() -> None:
    allowance = Allowance(LimitPolicy(max_concurrency=1), now_s=0)
    assert [allowance.take(0) for _ in range(100)] == [0] * 100
    assert allowance.full_in_s(0) == 0


def test_it_tells_when_it_is_full_again() -> None:
    allowance = Allowance(TWO, now_s=0)
    assert allowance.full_in_s(0) == 0
    allowance.take(0)
    allowance.take(0)
    assert allowance.full_in_s(0) == pytest.approx(1)
    assert allowance.full_in_s(0.75) == pytest.approx(0.25)
    assert allowance.full_in_s(5) == 0
