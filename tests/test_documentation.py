"""What the documents say is held against the code."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from app import errors
from app.devices.metrics import DeviceMetrics
from app.drift.monitor import DriftMonitor
from app.drift.policy import DriftPolicy
from app.inference.reuse_metrics import ReuseMetrics
from app.metrics import Metrics
from app.rollout.metrics import RolloutMetrics
from app.settings import COMMAND_LINE_NAMES, ENV_PREFIX, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_in_readme_and_env_example_with_its_default_and_effect(name: str) -> None:
    field = Settings.model_fields[name]
    variable = f"{ENV_PREFIX}{name.upper()}"
    default = "unset" if field.default is None or field.default == () else field.default
    assert f"| `{variable}` | {default} | {field.description} |" in README
    assert re.search(rf"^#? ?{variable}=", ENV_EXAMPLE, re.MULTILINE)


def test_readme_and_env_example_name_no_other_setting() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    known.update(COMMAND_LINE_NAMES)
    named = set(re.findall(rf"{ENV_PREFIX}[A-Z_]+", README + ENV_EXAMPLE))
    assert named <= known


def metrics() -> set[str]:
    registry = CollectorRegistry()
    Metrics(registry, (1, 2))
    RolloutMetrics(registry)
    ReuseMetrics(registry)
    DriftMonitor(DriftPolicy(), registry)
    DeviceMetrics(registry)
    suffixes = {"counter": "_total"}
    return {
        family.name + suffixes.get(family.type, "")
        for family in registry.collect()
        if family.name.startswith("keraserve_")
    }


def test_every_metric_is_in_the_readme_and_no_other() -> None:
    named = set(re.findall(r"keraserve_[a-z_]+", README))
    histogram_parts = {name for name in named if name.endswith(("_sum", "_count"))}
    assert named - histogram_parts == metrics()


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_documents_name_no_metric_and_no_setting_that_there_is_not(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    named = {name.removesuffix("_bucket") for name in re.findall(r"keraserve_[a-z_]+", text)}
    assert named <= metrics()
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(rf"{ENV_PREFIX}[A-Z_]+", text)) <= known.union(COMMAND_LINE_NAMES)


def test_every_error_code_is_in_the_readme() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {value.code for value in classes if issubclass(value, errors.ServingError)}
    assert codes
    for code in codes:
        assert f"`{code}`" in README


def test_readme_has_no_hole() -> None:
    assert "@@" not in README
