"""What Grafana gets is what Grafana knows: the dashboard by its own schema, and how it is provided.

No Grafana runs here. Its schema comes with the Grafana Foundation SDK, whose classes are generated
from it: they keep the fields that they know, and drop all others without a word. What is written
again must be what was read. The fields of the files under ``provisioning`` are those of Grafana's
readers (``pkg/services/provisioning/dashboards/types.go``, ``…/datasources/types.go``), which
ignore others as well.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.prometheus import DEPLOY, ROOT

GRAFANA = DEPLOY / "grafana"
DASHBOARD: dict[str, Any] = json.loads(
    (GRAFANA / "dashboards" / "keraserve.json").read_text(encoding="utf-8")
)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

PROVIDER_FIELDS = {
    "name", "type", "orgId", "folder", "folderUid", "editable", "options", "disableDeletion",
    "updateIntervalSeconds", "allowUiUpdates",
}  # fmt: skip
PROVIDER_OPTIONS = {"path", "foldersFromFilesStructure"}
DATA_SOURCE_FIELDS = {
    "orgId", "orgName", "version", "name", "type", "access", "url", "user", "database",
    "basicAuth", "basicAuthUser", "withCredentials", "isDefault", "correlations", "jsonData",
    "secureJsonData", "editable", "uid",
}  # fmt: skip


@pytest.fixture(autouse=True)
def panel_kinds() -> None:
    """Without them, options of panels and queries are kept whatever they are."""
    register_default_plugins()


def written(dashboard: dict[str, Any]) -> Any:
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def changes(read: Any, again: Any, path: str = "") -> Iterator[str]:
    """Where what was written differs; what the schema adds by default is no difference."""
    if isinstance(read, dict) and isinstance(again, dict):
        for name, value in read.items():
            if name in again:
                yield from changes(value, again[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}"
    elif isinstance(read, list) and isinstance(again, list) and len(read) == len(again):
        for number, (one, other) in enumerate(zip(read, again, strict=True)):
            yield from changes(one, other, f"{path}/{number}")
    elif read != again:
        yield path


def strange_values(found: Any, path: str = "") -> Iterator[str]:
    """Where a value is none of those that the schema lists."""
    if isinstance(found, list):
        for number, each in enumerate(found):
            yield from strange_values(each, f"{path}/{number}")
    elif hasattr(type(found), "from_json"):
        for name, hint in typing.get_type_hints(type(found)).items():
            value = getattr(found, name)
            hints = typing.get_args(hint) or (hint,)
            listed = [each for each in hints if isinstance(each, type) and issubclass(each, Enum)]
            if listed and value not in {each.value for kind in listed for each in kind} | {None}:
                yield f"{path}/{name}={value}"
            yield from strange_values(value, f"{path}/{name}")


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    assert list(changes(DASHBOARD, written(DASHBOARD))) == []


def test_grafana_knows_every_choice_in_the_dashboard() -> None:
    assert list(strange_values(Dashboard.from_json(DASHBOARD))) == []


@pytest.mark.parametrize(
    ("right", "wrong", "panels"),
    [
        pytest.param('"legendFormat"', '"legendformat"', "targets", id="of a query"),
        pytest.param('"fillOpacity"', '"fillOpacty"', "custom", id="of a kind of panel"),
        pytest.param('"fieldConfig"', '"fieldconfig"', "panels", id="of all panels"),
        pytest.param('"titleFormat"', '"titelFormat"', "annotations", id="of annotations"),
    ],
)
def test_a_field_that_grafana_does_not_know_would_be_found(
    right: str, wrong: str, panels: str
) -> None:
    broken = json.loads(json.dumps(DASHBOARD).replace(right, wrong))
    found = list(changes(broken, written(broken)))
    assert found
    assert all(panels in path and path.endswith(wrong.strip('"')) for path in found)


def test_a_choice_that_grafana_does_not_know_would_be_found() -> None:
    text = json.dumps(DASHBOARD).replace('"displayMode": "table"', '"displayMode": "tabel"')
    assert list(strange_values(Dashboard.from_json(json.loads(text))))


def test_grafana_knows_every_field_of_the_provider_of_dashboards() -> None:
    document = yaml.safe_load((GRAFANA / "provisioning/dashboards/keraserve.yml").read_text())
    assert set(document) == {"apiVersion", "providers"}
    assert document["apiVersion"] == 1
    (provider,) = document["providers"]
    assert set(provider) <= PROVIDER_FIELDS
    assert set(provider["options"]) <= PROVIDER_OPTIONS
    assert provider["type"] == "file"
    mounted = [each.split(":")[:2] for each in COMPOSE["services"]["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"]] in mounted


def test_grafana_knows_every_field_of_the_data_source() -> None:
    document = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    assert set(document) == {"apiVersion", "datasources"}
    assert document["apiVersion"] == 1
    (source,) = document["datasources"]
    assert set(source) <= DATA_SOURCE_FIELDS
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert source["jsonData"] == {"timeInterval": prometheus["global"]["scrape_interval"]}
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]


@pytest.mark.parametrize("path", sorted(GRAFANA.rglob("*.yml")), ids=lambda path: path.name)
def test_provisioning_lies_where_grafana_looks_for_it(path: Path) -> None:
    assert path.parent.name in ("dashboards", "datasources")
    assert path.parent.parent == GRAFANA / "provisioning"
