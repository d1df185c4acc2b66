"""The dashboard, against a real Prometheus that scrapes the real service under load."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from app.devices.metrics import DeviceMetrics
from app.devices.nvidia import GpuState
from app.registry.labels import set_label
from app.types import EngineMemory
from tests.deploy.load import Load
from tests.deploy.prometheus import DEPLOY, needs_prometheus, scraping
from tests.factories.versions import edit_manifest
from tests.fakes import PuppetServable
from tests.keras.server_process import ROOT, serving
from tests.test_documentation import metrics

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "keraserve.json"
# What Grafana would put there.
VARIABLES = {"job": "keraserve", "instance": ".*", "model": ".*", "__rate_interval": "5s"}
WITHIN_S = 30.0


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Every query of every panel, with values for its variables, by panel and letter."""
    found = {
        f"{panel['title']} {target['refId']}": re.sub(
            r"\$(\w+)", lambda name: VARIABLES[name[1]], target["expr"]
        )
        for panel in panels()
        for target in panel["targets"]
    }
    assert len(found) == sum(len(panel["targets"]) for panel in panels()), "titles are unique"
    return found


def test_panels_name_no_metric_that_there_is_not() -> None:
    known = metrics()
    known |= {f"{name}{part}" for name in known for part in ("_bucket", "_sum", "_count")}
    named = set(re.findall(r"\bkeraserve_[a-z_]+", "".join(queries().values())))
    assert named <= known


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_says_what_it_shows_in_which_unit_and_names_its_series(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    defaults, options = panel["fieldConfig"]["defaults"], panel["options"]
    match panel["type"]:
        case "stat":  # one number, which is the panel's title
            assert defaults["unit"]
            assert defaults["thresholds"]["steps"]
        case "timeseries":
            assert defaults["unit"]
            assert options["legend"]["showLegend"]
            assert all(target["legendFormat"] for target in panel["targets"])
        case "heatmap":
            assert options["yAxis"]["unit"]
            assert options["cellValues"]["unit"]
            assert options["legend"]["show"]
        case kind:  # without numbers
            assert kind in ("table", "state-timeline")


def test_legends_tell_series_apart() -> None:
    """A label that splits a sum and is not in the legend gives two lines of one name."""
    for panel in panels():
        for target in panel["targets"]:
            split_by = re.search(r"^(?:\w+\()*(?:sum|avg|max|min) by \(([^)]+)\)", target["expr"])
            if split_by is not None and panel["type"] == "timeseries":
                labels = set(split_by[1].split(", ")) - {"le"}
                assert labels == set(re.findall(r"{{(\w+)}}", target["legendFormat"])), panel


def test_rows_are_in_the_order_in_which_one_asks() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert [panel["title"] for panel in dashboard if panel["type"] == "row"] == [
        "Now", "Traffic", "Errors", "Latency", "Queue", "Batching", "Devices", "Versions", "Drift",
        "Process",
    ]  # fmt: skip


def test_panels_lie_beside_each_other_and_fill_their_rows() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    places = [panel["gridPos"] for panel in dashboard]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert [(place["y"], place["x"]) for place in places] == sorted(
        (place["y"], place["x"]) for place in places
    )
    assert len({panel["id"] for panel in dashboard}) == len(dashboard)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The models of the repository; of one a version more, which waits as canary and shadow."""
    store = tmp_path / "models"
    shutil.copytree(ROOT / "models", store)
    stable = max(int(folder.name) for folder in (store / "cifar10").iterdir())
    newer = store / "cifar10" / str(stable + 1)
    shutil.copytree(store / "cifar10" / str(stable), newer)
    edit_manifest(newer, version=stable + 1)
    set_label(store, "cifar10", "stable", stable)
    return store


@pytest.fixture
def url(store: Path) -> Iterator[str]:
    # Little room, so that some of the load is refused.
    flags = {
        "engine": "openvino", "model-dir": store, "models": "cifar10:latest(2),fashion_mnist",
        "canary": "cifar10:latest=0.3", "shadow": "cifar10:latest=0.2",
        "canary-max-error-rate": 1, "canary-max-latency-ratio": 1000,  # it is not to end
        "max-queue-size": 8, "max-images-per-request": 8, "max-batch-size": 4,
        "cache-bytes": 10_000_000, "coalesce": "true", "address-max-concurrency": 22,
    }  # fmt: skip
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    with serving(*arguments) as server:
        server.wait_for("ready")
        yield server.url


class OnGpu(PuppetServable):
    """A network on a GPU whose engine tells what it holds."""

    def memory_reader(self) -> EngineMemory:
        return EngineMemory(used=10, peak=20, limit=30)


@pytest.fixture
def gpu_target() -> Iterator[str]:
    """What a server with a GPU exports of it: this machine need not have one."""
    registry = CollectorRegistry()
    devices = DeviceMetrics(registry, read_gpu=lambda number: GpuState(10, 40, 0.5))
    puppet = OnGpu(device_id="gpu:0")
    devices.watch(puppet)
    with devices.timer_of(puppet.info.device_id):  # it executes for as long as it is looked at
        server, thread = start_http_server(0, "127.0.0.1", registry)
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()
        thread.join()


@needs_prometheus
def test_every_query_of_every_panel_finds_data(url: str, gpu_target: str, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    missing, codes = queries(), set[int]()
    targets = [url.removeprefix("http://"), gpu_target]
    with scraping(targets, folder) as prometheus, closing(Load(url)) as load:
        began_s = time.time()
        # Scrapes and windows take their time; the service has something to do meanwhile.
        while missing and time.time() < began_s + WITHIN_S:
            codes |= load.round()
            missing = {
                panel: query
                for panel, query in missing.items()
                if not any(
                    math.isfinite(value)
                    for value in prometheus.values(query, start_s=began_s, end_s=time.time())
                )
            }
    assert missing == {}
    assert codes == {200, 404, 415, 429, 504}
