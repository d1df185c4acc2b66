"""The server as a process of its own, with a collector of traces that hangs."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.api.collector import Collector, collecting
from tests.keras.server_process import ROOT, serving

pytestmark = pytest.mark.keras

PICTURE = (ROOT / "docs" / "images" / "ship.png").read_bytes()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")  # ms: it is asked at once
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with collecting() as collector:
        collector.may_answer.clear()
        yield collector


def test_sigterm_ends_it_in_time_whatever_the_collector_does(hanging: Collector) -> None:
    flags = ("--models", "fashion_mnist", "--default-model", "fashion_mnist",
             "--tracing-endpoint", hanging.url, "--tracing-sample-ratio", "1")  # fmt: skip
    with serving(*flags) as server:
        server.wait_for("ready")
        address = urlsplit(server.url).netloc
        with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            for _ in range(3):
                connection.request("POST", "/v1/classify", PICTURE, {"Content-Type": "image/png"})
                response = connection.getresponse()
                assert response.read()
                assert response.status == 200
                assert hanging.is_asked.wait(30)  # the others come while it hangs
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("the last traces could not be sent")
        assert server.wait_for("drained")["requests_cut_off"] == 0
        assert server.process.wait(30) == 0
