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

from app.registry.labels import set_label
from tests.deploy.load import Load
from tests.deploy.prometheus import DEPLOY, needs_prometheus, scraping
from tests.factories.versions import edit_manifest
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


def test_every_panel_says_what_it_shows() -> None:
    assert [panel["title"] for panel in panels() if not panel["description"]] == []


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


@needs_prometheus
def test_every_query_of_every_panel_finds_data(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    missing, codes = queries(), set[int]()
    with scraping(url.removeprefix("http://"), folder) as prometheus, closing(Load(url)) as load:
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
