"""The soak in short: what takes minutes on the way to a release takes seconds here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.soak.__main__ import main
from benchmarks.soak.document import BEGIN, END

pytestmark = [
    pytest.mark.keras,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read in /proc"),
]


def test_requests_of_every_kind_are_answered_and_nothing_stays_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"# Before\n\n{BEGIN}\n{END}\n", encoding="utf-8")
    # So few requests hardly warm anything up, and other tests take the cores: memory and times are
    # judged by the long form.
    short = ["--requests", "3000", "--swaps", "2", "--most-growth", "1.5", "--most-restart", "50"]
    assert main([*short, "--document", str(document)]) == 0, capsys.readouterr().out
    text = document.read_text(encoding="utf-8")
    assert "| requests | 3,000 |" in text
    assert "| lost | 0 |" in text
    assert "| versions that took over meanwhile | 2 |" in text
