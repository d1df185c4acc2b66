from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.errors import TracingError
from app.settings import Settings, SettingsError
from app.tracing.policy import TracingPolicy
from app.tracing.tracing import Tracing, open_tracing

POLICY = TracingPolicy("http://127.0.0.1:1/v1/traces", 0.5)

WITHOUT = """
import sys
from app.main import create_app
from app.settings import Settings

create_app(Settings(_env_file=None))
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk",
    "opentelemetry.exporter", "opentelemetry.proto", "app.tracing.spans"))))
"""


class HangingWriter:
    """A writer whose collector never answers."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_ended = threading.Event()

    def begin(self, *begun: object) -> None:
        raise AssertionError("nothing is traced here")

    def shutdown(self) -> None:
        self.may_end.wait(5)
        self.has_ended.set()


async def test_collector_that_hangs_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = HangingWriter()
    tracing = Tracing(POLICY, writer)  # type: ignore[arg-type]
    await tracing.close(timeout_s=0)
    assert "the last traces could not be sent" in caplog.messages
    writer.may_end.set()
    assert writer.has_ended.wait(5)


def test_nothing_of_opentelemetry_is_imported_where_tracing_is_off(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture
def no_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "app.tracing.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)


@pytest.mark.usefixtures("no_opentelemetry")
def test_missing_extra_is_named() -> None:
    with pytest.raises(TracingError, match=r"install keraserve\[tracing\]"):
        open_tracing(POLICY)


@pytest.mark.usefixtures("no_opentelemetry")
def test_missing_extra_is_told_with_the_setting() -> None:
    settings = Settings(_env_file=None, tracing_endpoint=POLICY.endpoint)
    with pytest.raises(SettingsError, match="KERASERVE_TRACING_ENDPOINT"):
        settings.tracing()


def test_there_is_no_tracing_by_default() -> None:
    assert Settings(_env_file=None).tracing() is None


@pytest.mark.parametrize("endpoint", ["collector:4318", "http://collector:4318", "ftp://a/b"])
def test_endpoint_is_a_whole_url(endpoint: str) -> None:
    with pytest.raises(ValueError, match="tracing_endpoint"):
        Settings(_env_file=None, tracing_endpoint=endpoint)
