"""What Prometheus sees of the requests."""

from __future__ import annotations

import threading
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.types import EngineInfo, EngineMemory, ServableId
from tests.api.world import World, picture, serving
from tests.fakes import PuppetServable

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


async def test_prometheus_text_by_default(world: World) -> None:
    await world.classify()
    response = await world.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert "keraserve_images" in families
    assert "python_info" in families
    assert 'keraserve_images_total{model="cifar10",outcome="ok",version="1"} 1.0' in response.text


async def test_open_metrics_where_it_is_asked_for(world: World) -> None:
    response = await world.client.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
    assert "# TYPE keraserve_requests counter" in response.text


async def test_queues_are_looked_at_on_the_event_loop_alone(world: World) -> None:
    """In another thread they can change meanwhile, and the metrics would end in a 500."""
    asked_in: list[int] = []

    def estimate_s() -> float:
        asked_in.append(threading.get_ident())
        return 0.25

    metrics = world.lifecycle.metrics
    metrics.set_estimate(ServableId("other", 1), estimate_s)
    response = await world.client.get("/metrics")
    metrics.clear_estimate(ServableId("other", 1))
    line = 'keraserve_admission_estimate_seconds{model="other",version="1"} 0.25'
    assert line in response.text
    assert asked_in == [threading.get_ident()]


async def test_readiness_is_a_metric_as_of_the_scrape(world: World) -> None:
    assert "keraserve_ready 1.0" in (await world.client.get("/metrics")).text
    world.lifecycle.begin_drain()
    assert "keraserve_ready 0.0" in (await world.client.get("/metrics")).text


async def test_room_in_the_queue_is_what_the_setting_says(tmp_path: Path) -> None:
    async with serving(tmp_path, max_queue_size=77, max_images_per_request=7) as world:
        assert "keraserve_max_queue_size 77.0" in (await world.client.get("/metrics")).text


async def test_requests_are_counted_by_route_method_and_code(world: World) -> None:
    await world.classify()
    await world.classify(b"no image")
    await world.classify_batch([("a", picture())])
    await world.client.get("/v1/models/cifar10")
    await world.client.get("/v1/models/cifar")
    await world.client.get("/v1/classify")
    expected = {
        ("/v1/classify", "POST", "200"): 1,
        ("/v1/classify", "POST", "415"): 1,
        ("/v1/classify/batch", "POST", "200"): 1,
        ("/v1/models/{name}", "GET", "200"): 1,
        ("/v1/models/{name}", "GET", "404"): 1,
        ("/v1/classify", "GET", "405"): 1,
    }
    for (route, method, code), count in expected.items():
        assert world.count("requests_total", route=route, method=method, code=code) == count
    assert world.count("request_duration_seconds_count", route="/v1/classify") == 3
    # Less those that failed, a histogram is of those that were answered, also where none failed.
    failed = "failed_request_duration_seconds_count"
    assert world.count(failed, route="/v1/classify") == 2
    registry = world.lifecycle.metrics.registry
    batch = {"route": "/v1/classify/batch"}
    assert registry.get_sample_value(f"keraserve_{failed}", batch) == 0


async def test_paths_and_methods_of_strangers_make_no_new_series(world: World) -> None:
    for path in ("/wp-login.php", "/.env", "/v1/models/a/b/c/d", "/docs/assets/../../x"):
        await world.client.get(path)
    await world.client.request("BREW", "/coffee")
    labels = {
        (sample.labels["route"], sample.labels["method"])
        for family in world.lifecycle.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "keraserve_requests_total"
    }
    assert labels == {("unmatched", "GET"), ("unmatched", "OTHER")}


async def test_scrape_and_health_are_no_image_work(world: World) -> None:
    for path in ("/metrics", "/readyz", "/livez"):
        await world.client.get(path)
    images = [
        sample.value
        for family in world.lifecycle.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "keraserve_images_total"
    ]
    assert sum(images) == 0
    assert world.count("requests_total", route="/metrics", method="GET", code="200") == 1


async def test_requests_under_way_are_shown(world: World) -> None:
    before = len(world.puppet.executed)
    world.puppet.hold()
    task = world.begin()
    await world.puppet.began(before + 1)
    assert world.count("in_flight_requests") == 1
    world.puppet.let_go()
    await task
    assert world.count("in_flight_requests") == 0


class MeteredPuppet(PuppetServable):
    """A network on a GPU, whose engine fails when it is asked what it holds."""

    info = EngineInfo("puppet", "float32", "a GPU", "gpu:0")

    def memory_reader(self) -> EngineMemory:
        raise RuntimeError("the device is lost")


async def test_device_is_busy_while_it_executes(world: World) -> None:
    await world.classify()
    busy_s = world.count("device_busy_seconds_total", device="cpu:0")
    executed_s = world.count("execution_duration_seconds_sum", model="cifar10", version="1")
    assert 0 < busy_s <= executed_s


async def test_device_that_cannot_be_asked_costs_no_scrape(tmp_path: Path) -> None:
    async with serving(tmp_path, puppet=MeteredPuppet) as world:
        response = await world.client.get("/metrics")
    assert response.status_code == 200
    assert 'keraserve_device_busy_seconds_total{device="gpu:0"}' in response.text
    assert "keraserve_engine_memory_used_bytes{" not in response.text
