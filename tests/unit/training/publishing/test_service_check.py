"""What is found before the network is loaded; the rest is in tests/keras."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories.versions import Defect, make_version
from training.publishing.gate import GateError
from training.publishing.service_check import check_in_service

REFUSED = "the service's own runtime refuses the version: "


def test_version_that_the_service_would_refuse_is_refused_with_its_reason(tmp_path: Path) -> None:
    folder = make_version(tmp_path, defect=Defect.WRONG_SHA256)

    with pytest.raises(
        GateError, match=rf"^{REFUSED}'model\.keras' has SHA-256 .*; --force cannot"
    ):
        check_in_service(folder)


def test_check_finds_the_service_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_version(tmp_path / "models", defect=Defect.MISSING_FILE)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "app").mkdir(parents=True)
    (elsewhere / "app" / "__main__.py").write_text("raise SystemExit('another app')")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))

    with pytest.raises(GateError, match=rf"^{REFUSED}'model\.keras' is missing"):
        check_in_service(Path("..") / version.relative_to(tmp_path))


def test_settings_of_the_server_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("KERASERVE_ENGINE=steam\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASERVE_PORT", "none")

    with pytest.raises(GateError, match=rf"^{REFUSED}manifest\.json is missing"):
        check_in_service(make_version(tmp_path, defect=Defect.NO_MANIFEST))


def test_check_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"loading and testing it was not done after 0\.001 s"):
        check_in_service(make_version(tmp_path), timeout_s=0.001)


def test_process_that_dies_is_told_by_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A module that is broken for the child alone: it is found before the standard one.
    (tmp_path / "argparse.py").write_text("raise MemoryError('no room')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(GateError, match="ended with exit code 1: MemoryError: no room"):
        check_in_service(make_version(tmp_path / "models"))
