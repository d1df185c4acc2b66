"""The alert rules: by Prometheus' own tool, and against what the documents say of them."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy.prometheus import DEPLOY, ROOT, RULES, alert_names, needs_prometheus
from tests.test_documentation import metrics

FOLDER = DEPLOY / "prometheus"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
TESTS = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")


@needs_prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("check", "config", "prometheus.yml"), id="configuration"),
        pytest.param(("check", "rules", "alerts.yml"), id="rules"),
        pytest.param(("test", "rules", "alerts_test.yml"), id="alerts fire and do not fire"),
    ],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(alert_names()))
def test_alert_is_tested_firing_and_not_firing(name: str) -> None:
    checks = re.findall(rf"alertname: {name}\n +exp_alerts:(.*)\n", TESTS)
    assert set(checks) == {"", " []"}


def rules() -> list[dict[str, Any]]:
    """Those that alert."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def sections() -> dict[str, str]:
    """Headings of the third level in the part on alerts, with what stands below each."""
    part = OPERATIONS.split("\n## Alerts\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^### (\w+)\n\n(.+?)(?=^### |\Z)", part, re.MULTILINE | re.DOTALL))


def test_operations_say_what_to_do_about_each_alert_and_no_other() -> None:
    assert set(sections()) == alert_names()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_alert_says_what_it_is_how_bad_and_where_to_read_on(rule: dict[str, Any]) -> None:
    annotations, severity = rule["annotations"], rule["labels"]["severity"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["summary"] != annotations["description"]
    assert "for" in rule
    # GitHub's anchor of a heading of one word is that word in lower case.
    assert annotations["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert sections()[rule["alert"]].startswith(f"{severity.capitalize()}: ")
    assert severity in ("critical", "warning", "info")


def test_rules_name_no_metric_that_there_is_not() -> None:
    named = set(re.findall(r"\bkeraserve_[a-z_]+", RULES.read_text(encoding="utf-8")))
    assert {name.removesuffix("_bucket") for name in named} <= metrics()
