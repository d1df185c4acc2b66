from __future__ import annotations

from typing import Any

import pytest

from app.registry.rollout_plan import CanaryPlan
from app.rollout.canary import Canary, Verdict, judge
from app.rollout.window import RequestWindow
from app.types import ServableId

VERSION = ServableId("cifar10", 3)


def plan(**fields: Any) -> CanaryPlan:
    return CanaryPlan(**{"target": "3", "share": 0.5, "min_requests": 100} | fields)


def window(latency_s: float | None = 0.01, count: int = 200, errors: int = 0) -> RequestWindow:
    filled = RequestWindow()
    for number in range(count):
        if number < errors:
            filled.add_error()
        else:
            filled.add_answer(latency_s)
    return filled


@pytest.mark.parametrize(
    ("canary", "stable", "cause"),
    [
        pytest.param(window(), window(), None, id="as good as the stable one"),
        pytest.param(window(errors=11), window(), "error_rate", id="more errors than allowed"),
        pytest.param(window(errors=10), window(), None, id="as many errors as allowed"),
        pytest.param(
            window(errors=60), window(errors=55), None, id="about as many errors as the stable one"
        ),
        pytest.param(
            window(errors=100), window(errors=50), "error_rate", id="many more than the stable one"
        ),
        pytest.param(window(count=99, errors=99), window(), None, id="too few requests to tell"),
        pytest.param(window(0.1), window(0.04), "latency", id="slower than twice"),
        pytest.param(window(0.08), window(0.04), None, id="exactly twice"),
        pytest.param(window(0.02), window(0.001), None, id="twenty times, but of next to nothing"),
        pytest.param(window(0.1), window(0.04, 99), None, id="too few to compare with"),
        pytest.param(window(0.1), window(None), None, id="none with a time to compare with"),
        pytest.param(window(0.1), window(count=0), None, id="nothing to compare with"),
        pytest.param(
            window(errors=200), window(count=0), "error_rate", id="errors, and nothing beside it"
        ),
    ],
)
def test_verdict(canary: RequestWindow, stable: RequestWindow, cause: str | None) -> None:
    verdict = judge(plan(), canary, stable)
    assert (verdict and verdict.cause) == cause


def test_reasons_name_value_limit_and_threshold() -> None:
    failing = judge(plan(), window(errors=20), window(errors=4))
    slow = judge(plan(), window(0.1), window(0.04))
    assert failing == Verdict(
        "error_rate",
        "20 of 200 requests failed, 10.0%, of the stable version 2.0%; "
        "the limit is 5.0% more (max_error_rate)",
    )
    assert slow == Verdict(
        "latency",
        "p95 is 100.0 ms, 2.5 times the 40.0 ms of the stable version; "
        "the limit is 2 times (max_latency_ratio)",
    )


def test_keys_stay_with_a_canary_whose_share_rises() -> None:
    keys = [f"user-{number}" for number in range(1000)]
    small, large = (Canary(plan(share=share), VERSION) for share in (0.1, 0.4))
    taken = {key for key in keys if small.takes(key)}
    assert taken
    assert taken < {key for key in keys if large.takes(key)}


def test_canary_that_has_ended_takes_nothing_and_says_so_once() -> None:
    canary = Canary(plan(share=1, min_requests=3), VERSION)
    verdicts = [canary.record_error("canary") for _ in range(5)]
    assert [verdict and verdict.cause for verdict in verdicts] == [
        None, None, "error_rate", None, None,
    ]  # fmt: skip
    assert not canary.takes("anybody")


def test_slow_canary_ends_within_few_requests() -> None:
    canary = Canary(plan(min_requests=10), VERSION)
    for _ in range(10):
        canary.record_answer("stable", 0.01)
    ends = [canary.record_answer("canary", 0.5) is not None for _ in range(60)]
    assert ends.index(True) < 40


def test_stable_version_ends_no_canary() -> None:
    canary = Canary(plan(min_requests=1), VERSION)
    assert not any(canary.record_error("stable") for _ in range(100))
