"""Debian's Prometheus as a process, and its tool."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.read_process import ReadProcess

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
PATIENCE_S = 30.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs prometheus and promtool: Debian's package prometheus has both",
)

_CONFIGURATION = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: keraserve
    static_configs: [{{targets: {targets}}}]
"""


def alert_names() -> set[str]:
    """Those that the rules define."""
    return set(re.findall(r"^ +- alert: (\w+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE))


class Prometheus(ReadProcess):
    """A running one."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        super().__init__(process, PATIENCE_S)
        self.url = f"http://127.0.0.1:{port}"

    def wait_until_ready(self) -> None:
        self.wait_for_line(lambda line: "Server is ready" in line, "Prometheus that is ready")

    def values(self, expression: str, *, start_s: float, end_s: float) -> list[float]:
        """Every value of every series that an expression has in a time."""
        query = {"query": expression, "start": start_s, "end": end_s, "step": 1}
        url = f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            answer: dict[str, Any] = json.load(response)
        return [float(value) for each in answer["data"]["result"] for _, value in each["values"]]


@contextmanager
def scraping(targets: list[str], folder: Path) -> Iterator[Prometheus]:
    """Scrape hosts with ports four times a second, with the alerts of the repository."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(rules=RULES, targets=json.dumps(targets)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    prometheus = Prometheus(
        subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder, text=True
        ),
        port,
    )
    try:
        prometheus.wait_until_ready()
        yield prometheus
    finally:
        prometheus.kill()
