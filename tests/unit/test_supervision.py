"""When engines are restarted, how often, and when that is given up."""

from __future__ import annotations

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from app.restarts import RestartBudget, RestartPolicy
from app.supervision import EngineSupervisor
from app.types import ServableId
from tests.fakes import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(5)]

ID = ServableId("cifar10", 1)


class Restarts:
    """Restarts that end as the test says."""

    def __init__(self, policy: RestartPolicy) -> None:
        self.outcomes: list[bool | Exception] = []  # True where none is left
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = 0
        self.counted: list[ServableId] = []
        self.supervisor = EngineSupervisor(self._renew, policy, self.counted.append)

    async def _renew(self, servable_id: ServableId) -> bool:
        self.began += 1
        await self.gate.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else True
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def until_began(self, count: int) -> None:
        while self.began < count:
            await checkpoint()
        await checkpoint()
        await checkpoint()


async def test_failure_has_the_version_restarted_once() -> None:
    restarts = Restarts(RestartPolicy())
    restarts.gate.clear()
    for _ in range(3):  # several devices of one batcher
        restarts.supervisor.failed(ID, "the device thread ended")
    await restarts.until_began(1)
    restarts.gate.set()
    await checkpoint()
    assert (restarts.began, restarts.counted) == (1, [ID])
    assert not restarts.supervisor.is_given_up(ID)


async def test_each_version_has_a_budget_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    restarts = Restarts(RestartPolicy(most=1))
    other = ServableId("cifar10", 2)
    for servable_id in (ID, other):
        restarts.supervisor.failed(servable_id, "it hangs")
    await restarts.until_began(2)
    restarts.supervisor.failed(ID, "it hangs")
    await checkpoint()
    assert restarts.supervisor.is_given_up(ID)
    assert not restarts.supervisor.is_given_up(other)
    assert caplog.messages[-1] == "engine is not restarted any more"
    restarts.supervisor.stop()


async def test_without_a_budget_nothing_is_restarted() -> None:
    restarts = Restarts(RestartPolicy(most=0))
    restarts.supervisor.failed(ID, "it hangs")
    await checkpoint()
    assert restarts.supervisor.is_given_up(ID)
    assert restarts.began == 0
    restarts.supervisor.stop()


@pytest.mark.parametrize("error", [OSError("no such file"), TypeError("of the engine")])
async def test_failed_restart_is_told_and_tried_again_until_the_budget_is_spent(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    restarts = Restarts(RestartPolicy(most=3, retry_s=0))
    restarts.outcomes = [error] * 3
    restarts.supervisor.failed(ID, "it hangs")
    while not restarts.supervisor.is_given_up(ID):
        await checkpoint()
    assert restarts.began == 3
    told = [each for each in caplog.records if each.message == "restart of engine failed"]
    assert [each.exc_info and each.exc_info[1] for each in told] == [error] * 3
    restarts.supervisor.stop()


async def test_failed_restart_that_succeeds_at_last_is_forgiven() -> None:
    restarts = Restarts(RestartPolicy(most=2, retry_s=0, window_s=0.01))
    restarts.outcomes = [OSError("no such file")] * 3
    restarts.supervisor.failed(ID, "it hangs")
    await restarts.until_began(4)
    assert not restarts.supervisor.is_given_up(ID)


async def test_restart_that_hangs_is_given_up_until_it_ends() -> None:
    restarts = Restarts(RestartPolicy(patience_s=0.01))
    restarts.gate.clear()
    restarts.supervisor.failed(ID, "it hangs")
    while not restarts.supervisor.is_given_up(ID):
        await checkpoint()
    restarts.gate.set()
    while restarts.supervisor.is_given_up(ID):
        await checkpoint()
    assert restarts.began == 1


async def test_version_that_has_ended_is_not_restarted_again() -> None:
    restarts = Restarts(RestartPolicy(retry_s=0))
    restarts.outcomes = [False]
    restarts.supervisor.failed(ID, "it hangs")
    await restarts.until_began(1)
    assert restarts.began == 1


async def test_stop_ends_restarts_and_begins_no_more() -> None:
    restarts = Restarts(RestartPolicy())
    restarts.gate.clear()
    restarts.supervisor.failed(ID, "it hangs")
    await restarts.until_began(1)
    restarts.supervisor.stop()
    await checkpoint()
    restarts.supervisor.failed(ID, "it hangs")
    await checkpoint()
    assert restarts.began == 1


def test_budget_is_given_back_as_restarts_leave_the_window() -> None:
    clock = FakeClock()
    budget = RestartBudget(RestartPolicy(most=2, window_s=100), clock)
    assert budget.take() == 0
    clock.advance(40)
    assert budget.take() == 0
    clock.advance(10)
    assert budget.take() == 50
    clock.advance(50)
    assert budget.take() == 0
    assert budget.take() == 40
