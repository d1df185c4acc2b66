"""The alert rules: by Prometheus' own tool, and against what the documents say of them."""

from __future__ import annotations

import re
import subprocess

import pytest

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


def test_operations_say_what_to_do_about_each_alert_and_no_other() -> None:
    assert set(re.findall(r"^\| `(Keraserve\w+)` \|", OPERATIONS, re.MULTILINE)) == alert_names()


def test_rules_name_no_metric_that_there_is_not() -> None:
    named = set(re.findall(r"\bkeraserve_[a-z_]+", RULES.read_text(encoding="utf-8")))
    assert {name.removesuffix("_bucket") for name in named} <= metrics()
