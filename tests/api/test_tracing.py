"""Traces, as a collector gets them over OTLP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from app.client import Client
from app.types import ImageArray, ScoreArray
from tests.api.collector import Collector, collecting
from tests.api.doorway import doorway, message
from tests.api.live_server import listening
from tests.api.world import World, assert_problem, picture, serving, until

pytestmark = pytest.mark.timeout(30)

ROOT = "POST /v1/classify"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=1,b=2"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def traced(
    store: Path, collector: Collector, ratio: float = 1, **settings: Any
) -> AsyncIterator[World]:
    """The service; what it traced is with the collector once it has stopped."""
    tracing = {"tracing_endpoint": collector.url, "tracing_sample_ratio": ratio}
    async with serving(store, **tracing, **settings) as world:
        yield world


async def test_each_stage_of_a_request_is_a_span(tmp_path: Path, collector: Collector) -> None:
    before_ns = time.time_ns()
    async with traced(tmp_path, collector) as world:
        response = await world.client.post("/v1/classify", content=picture(), headers=PNG)
    answer = response.json()
    assert collector.paths == {"/v1/traces"}
    assert sorted(span.name for span in collector.spans) == [
        ROOT, "batch", "decode", "execute", "queue",
    ]  # fmt: skip
    root, batch, execute = collector.one(ROOT), collector.one("batch"), collector.one("execute")
    assert root.is_server
    assert (root.parent_id, root.is_error) == ("", False)
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "http.response.status_code": 200,
        "keraserve.request_id": answer["request_id"],
        "keraserve.model": "cifar10",
        "keraserve.version": 1,
        "keraserve.queue_position": 1,
        "keraserve.batch_size": 1,
    }
    assert {collector.one(name).parent_id for name in ("decode", "queue", "batch")} == {
        root.span_id
    }
    assert execute.parent_id == batch.span_id
    assert batch.links == [root.key]
    assert batch.attributes["keraserve.servable"] == "cifar10:1"
    assert execute.attributes == {"keraserve.execution.images": 1, "keraserve.execution.padded": 0}
    assert before_ns <= root.start_ns <= collector.one("decode").start_ns
    assert collector.one("queue").end_ns == batch.start_ns <= execute.start_ns
    assert execute.end_ns <= batch.end_ns <= root.end_ns <= time.time_ns()
    assert all(span.start_ns <= span.end_ns for span in collector.spans)
    assert response.headers["traceresponse"] == f"00-{root.trace_id}-{root.span_id}-01"
    assert root.resource["service.name"] == "keraserve"


async def test_batch_is_linked_to_all_its_requests(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector) as world:
        world.puppet.hold()
        executed = len(world.puppet.executed)
        tasks = [world.begin(picture(1))]
        await world.puppet.began(executed + 1)
        tasks += [world.begin(picture(seed)) for seed in (2, 3, 4)]
        await until(lambda: world.decoded == 4)
        world.puppet.let_go()
        await asyncio.gather(*tasks)
    (batch,) = [span for span in collector.named("batch") if len(span.links) == 3]
    (execute,) = [span for span in collector.named("execute") if span.parent_id == batch.span_id]
    assert execute.attributes["keraserve.execution.images"] == 3
    roots = {span.key: span for span in collector.named(ROOT)}
    assert set(batch.links) <= set(roots)
    queues = {span.trace_id: span for span in collector.named("queue")}
    for trace_id, _ in batch.links:
        expected = [] if trace_id == batch.trace_id else [batch.key]
        assert queues[trace_id].links == expected


async def test_trace_of_a_caller_goes_on(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector, ratio=0) as world:
        headers = PNG | SAMPLED
        response = await world.client.post("/v1/classify", content=picture(), headers=headers)
    root = collector.one(ROOT)
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert (root.parent_id, root.trace_state) == (CALLER, "a=1,b=2")
    assert response.headers["traceresponse"] == f"00-{TRACE}-{root.span_id}-01"


@pytest.mark.parametrize(
    ("headers", "settings", "is_traced"),
    [
        pytest.param(UNSAMPLED, {"ratio": 1}, False, id="the caller traces nothing"),
        pytest.param({}, {"ratio": 0}, False, id="no request is to be traced"),
        pytest.param(SAMPLED, {"ratio": 0, "tracing_follow_callers": False}, False, id="not asked"),
        pytest.param(UNSAMPLED, {"ratio": 1, "tracing_follow_callers": False}, True, id="all"),
        pytest.param({"traceparent": "00-1-2-01"}, {"ratio": 0}, False, id="nonsense says nothing"),
        pytest.param({"traceparent": "00-1-2-00"}, {"ratio": 1}, True, id="and forbids nothing"),
    ],
)
async def test_what_is_traced_is_what_was_asked_for(
    headers: dict[str, str],
    settings: dict[str, Any],
    is_traced: bool,
    tmp_path: Path,
    collector: Collector,
) -> None:
    async with traced(tmp_path, collector, **settings) as world:
        response = await world.client.post("/v1/classify", content=picture(), headers=PNG | headers)
    assert response.status_code == 200
    assert bool(collector.spans) == is_traced == ("traceresponse" in response.headers)


async def test_error_of_a_caller_is_named_and_is_none_of_ours(
    tmp_path: Path, collector: Collector
) -> None:
    async with traced(tmp_path, collector) as world:
        assert_problem(await world.classify(b"no image"), 415, "unsupported_format")
    (root,) = collector.spans
    assert root.attributes["error.type"] == "unsupported_format"
    assert root.attributes["http.response.status_code"] == 415
    assert not root.is_error


async def test_failed_execution_is_an_error_of_request_and_batch(
    tmp_path: Path, collector: Collector
) -> None:
    def fail(images: ImageArray) -> ScoreArray:
        raise ValueError("no scores today")

    async with traced(tmp_path, collector, engine_restarts=0) as world:
        world.puppet.behave = fail
        assert_problem(await world.classify(), 500, "execution_failed")
    root, batch = collector.one(ROOT), collector.one("batch")
    assert root.is_error
    assert root.attributes["error.type"] == "execution_failed"
    assert (batch.is_error, batch.attributes["keraserve.batch.failed"]) == (True, 1)
    assert collector.named("execute") == []


async def test_request_that_is_given_up_ends_its_trace(
    tmp_path: Path, collector: Collector
) -> None:
    async with traced(tmp_path, collector) as world:
        world.puppet.hold()
        executed = len(world.puppet.executed)
        task = world.begin()
        await world.puppet.began(executed + 1)
        assert_problem(await world.classify(timeout_ms=1), 504, "deadline_exceeded")
        world.puppet.let_go()
        await task
    late = next(span for span in collector.named(ROOT) if span.is_error)
    assert late.attributes["error.type"] == "deadline_exceeded"


async def test_images_of_one_request_are_in_one_trace(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector) as world:
        files = [("a", picture(1)), ("b", b"no image"), ("c", picture(2))]
        assert (await world.classify_batch(files)).status_code == 200
    assert len(collector.traces()) == 1
    assert len(collector.named("decode")) == len(collector.named("queue")) == 2
    root, batch = collector.one("POST /v1/classify/batch"), collector.one("batch")
    assert batch.links == [root.key]


async def test_image_that_is_known_needs_no_batch(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector, cache_bytes=1_000_000) as world:
        await world.classify(picture(1))
        await world.classify(picture(1))
    assert len(collector.named(ROOT)) == len(collector.named("decode")) == 2
    assert len(collector.named("batch")) == len(collector.named("queue")) == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_probes_are_not_traced(path: str, tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector) as world:
        await world.client.get(path)
        await world.client.get("/v1/models")
    assert [span.name for span in collector.spans] == ["GET /v1/models"]


async def test_request_on_the_express_lane_is_traced_as_any(
    tmp_path: Path, collector: Collector
) -> None:
    traceparent = f"traceparent: {SAMPLED['traceparent']}"
    async with traced(tmp_path, collector, ratio=0) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(picture()))
        plain = await line.answer()
        line.send(message(picture(), traceparent))
        answer = await line.answer()
        assert (plain.status, answer.status, door.begun) == (200, 200, [])
    assert sorted(span.name for span in collector.spans) == [
        ROOT, "batch", "decode", "execute", "queue",
    ]  # fmt: skip
    root = collector.one(ROOT)
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)
    assert root.attributes["keraserve.batch_size"] == 1
    assert answer.header("traceresponse") == f"00-{TRACE}-{root.span_id}-01"
    assert "traceresponse" not in plain.names


async def test_request_that_the_express_lane_leaves_has_one_trace(
    tmp_path: Path, collector: Collector
) -> None:
    async with traced(tmp_path, collector) as world, doorway(world) as door:
        line = await door.connect()
        line.send(message(b"no image"))
        assert (await line.answer()).status == 415
        assert door.begun == ["/v1/classify"]
    assert [span.name for span in collector.spans] == [ROOT]


async def test_a_request_is_drawn_once_whichever_way_it_takes(
    tmp_path: Path, collector: Collector
) -> None:
    """Drawn again on the other way, those that leave the lane would be traced less, or twice."""
    decided: list[float] = []
    async with traced(tmp_path, collector, ratio=0) as world, doorway(world) as door:
        sampler = world.lifecycle.trace_sampler
        assert sampler is not None
        sampler.draw = lambda: decided.append(1.0) or 1.0  # type: ignore[func-returns-value]
        line = await door.connect()
        for body in (picture(), b"no image"):
            line.send(message(body))
            await line.answer()
    assert len(decided) == 2


async def test_log_line_names_the_trace(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        async with traced(tmp_path, collector) as world:
            await world.classify()
    lines = [vars(record) for record in caplog.records if record.message == "request"]
    assert [line["trace_id"] for line in lines] == [collector.one(ROOT).trace_id]


def test_client_passes_on_the_trace_that_it_is_in(tmp_path: Path, collector: Collector) -> None:
    context = SpanContext(int(TRACE, 16), int(CALLER, 16), False, TraceFlags(1))
    tracing = {"tracing_endpoint": collector.url, "tracing_sample_ratio": 0}
    with listening(tmp_path, **tracing) as server, Client(server.url) as client:
        client.classify(picture())
        with use_span(NonRecordingSpan(context)):
            client.classify(picture())
    root = collector.one(ROOT)
    assert (root.trace_id, root.parent_id) == (TRACE, CALLER)


async def test_collector_that_is_gone_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with collecting() as collector:
        pass
    async with traced(tmp_path, collector) as world:
        assert (await world.classify()).status_code == 200
    assert world.lifecycle.is_drained
    assert any("Failed to export" in message for message in caplog.messages)
