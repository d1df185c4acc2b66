"""A collector of traces that hangs: no request waits for it, and what waits is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.api.collector import Collector, collecting
from tests.api.doorway import doorway, message
from tests.api.world import World, picture, serving, until

pytestmark = pytest.mark.timeout(30)

ROOM = 8
"""Spans that may wait to be sent."""
AT_ONCE = 4
"""Spans that are sent together."""
SPANS_OF_A_REQUEST = 5
REQUESTS = 40

Classify = Callable[[], Awaitable[int]]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(ROOM))
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(AT_ONCE))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")  # ms: only a full batch is sent
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")  # it hangs for as long as it likes
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def common_way(world: World) -> AsyncIterator[Classify]:
    async def classify() -> int:
        return (await world.classify(picture())).status_code

    yield classify


@asynccontextmanager
async def express_lane(world: World) -> AsyncIterator[Classify]:
    async with doorway(world) as door:
        line = await door.connect()

        async def classify() -> int:
            line.send(message(picture()))
            return (await line.answer()).status

        yield classify
        assert door.begun == []


@pytest.mark.parametrize("way", [common_way, express_lane])
async def test_collector_that_hangs_costs_no_answer_and_bounded_memory(
    way: Callable[[World], AbstractAsyncContextManager[Classify]],
    tmp_path: Path,
    collector: Collector,
) -> None:
    collector.may_answer.clear()
    tracing = {"tracing_endpoint": collector.url, "tracing_sample_ratio": 1}
    async with serving(tmp_path, **tracing) as world, way(world) as classify:
        assert await classify() == 200
        await until(collector.is_asked.is_set)
        assert [await classify() for _ in range(REQUESTS)] == [200] * REQUESTS
        assert len(collector.spans) == AT_ONCE  # the others wait, or are gone
        collector.may_answer.set()
    assert world.lifecycle.is_drained
    assert len(collector.spans) == AT_ONCE + ROOM < REQUESTS * SPANS_OF_A_REQUEST
