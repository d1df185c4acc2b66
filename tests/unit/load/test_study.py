"""One measurement after the other, and when there is no more time."""

from __future__ import annotations

import pytest

from app.load.counters import parse_totals
from app.load.study import REFINEMENTS, SHARES_OF_CAPACITY, Plan, Study, StudyRun
from tests.fakes import FakeClock
from tests.unit.load.peer import ANSWER, REQUEST, Peer, serving

REFUSAL = b"HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n"
METRICS = """\
keraserve_batch_size_sum{model="a"} %d
keraserve_batch_size_count{model="a"} %d
"""

pytestmark = pytest.mark.timeout(30)


def run_of(study: Study, peer: Peer, clock: FakeClock | None = None) -> tuple[StudyRun, list[str]]:
    told: list[str] = []
    readings = iter(range(1, 100))

    def counters() -> dict[str, float]:
        number = next(readings)
        return parse_totals(METRICS % (number * 12, number * 3))

    run = StudyRun(
        study,
        peer.address,
        [REQUEST],
        counters=counters,
        tell=told.append,
        clock=clock or FakeClock(),
    )
    return run, told


async def test_rates_are_derived_from_what_the_closed_loops_reach() -> None:
    study = Study(Plan(clients=(1, 2), seconds=0.05, warm_up_s=0.01, deadline_s=60))
    async with serving(ANSWER) as peer:
        run, told = run_of(study, peer)
        await run.carry_out()
    assert [point.clients for point in study.closed] == [1, 2]
    assert study.capacity_per_s > 0
    rates = [point.rate_per_s for point in study.open]
    expected = [share * study.capacity_per_s for share in SHARES_OF_CAPACITY]
    for share_of_capacity in expected:
        assert any(rate == pytest.approx(share_of_capacity, rel=0.01) for rate in rates)
    assert len(expected) <= len(rates) <= len(expected) + REFINEMENTS
    assert study.failed == {}
    assert all(point.spent is not None for point in study.points)
    assert study.points[0].spent is not None
    assert study.points[0].spent.batch_size == 4
    assert told[0] == "closed loop, 1 client …"


async def test_rates_that_are_given_are_taken_as_they_are() -> None:
    plan = Plan(clients=(), rates_per_s=(200, 100), seconds=0.05, warm_up_s=0.01, deadline_s=60)
    study = Study(plan)
    async with serving(ANSWER) as peer:
        await run_of(study, peer)[0].carry_out()
    assert [point.rate_per_s for point in study.points] == [200, 100]
    assert study.capacity_per_s == 0


async def test_where_nothing_is_classified_no_rate_is_derived() -> None:
    study = Study(Plan(clients=(1,), seconds=0.02, warm_up_s=0))
    async with serving(REFUSAL) as peer:
        await run_of(study, peer)[0].carry_out()
    (point,) = study.points
    assert set(point.result.outcomes) == {"429"}
    assert study.open == []
    assert study.ended == ""


async def test_what_would_end_behind_the_time_limit_is_left_out_and_named() -> None:
    clock = FakeClock()
    plan = Plan(clients=(1, 2), rates_per_s=(50,), seconds=0.02, warm_up_s=0.01, time_limit_s=10.0)
    study = Study(plan)
    async with serving(ANSWER) as peer:
        run, _ = run_of(study, peer, clock)
        clock.advance(4.9)  # 5.1 s are left: enough for one measurement and its last answers
        await run.carry_out()
        assert len(study.points) == 3
        again = Study(plan)
        run, _ = run_of(again, peer, clock)
        clock.advance(5.0)
        await run.carry_out()
    assert again.points == []
    assert again.left_out == [
        "closed loop, 1 client",
        "closed loop, 2 clients",
        "open loop, 50 requests/s",
    ]


async def test_study_ends_when_the_server_is_gone() -> None:
    study = Study(Plan(clients=(1, 2), rates_per_s=(50,), seconds=60))
    async with serving(ANSWER) as peer:
        pass
    await run_of(study, peer)[0].carry_out()
    assert len(study.points) == 1
    assert study.ended == "the server answered nothing any more (closed loop, 1 client)"
    assert study.failed == {"no connection": 1}
    assert study.left_out == []
