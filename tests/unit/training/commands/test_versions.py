from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.manifest import Gate, GateCheck, TrainingRecord
from app.artifacts.publish import write_manifest
from tests.factories.statistics import make_statistics
from tests.factories.versions import Defect, make_manifest, make_version, write_content
from training.cli import main

Output = Callable[[], str]

CONFIG = {"name": "flowers", "fit": {"epochs": 12, "seed": 1}, "optimizer": {"name": "sgd"}}


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return lambda: capsys.readouterr().out


def publish(
    models: Path,
    name: str,
    version: int,
    *,
    f1: dict[str, float] | None = None,
    training: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A whole version; ``f1`` goes into its report, ``training`` into its training record."""
    folder = models / name / str(version)
    record = {**make_manifest().training.model_dump(), "config": CONFIG, **(training or {})}
    manifest = make_manifest(name, version, training=TrainingRecord(**record), **changes)
    write_content(folder, manifest)
    if f1 is not None:
        classes = [{"label": label, "f1": value} for label, value in f1.items()]
        (folder / "report" / "metrics.json").write_text(json.dumps({"classes": classes}))
    write_manifest(folder, manifest.model_copy(update={"files": folder_records(folder)}))
    return folder


def cells(line: str) -> list[str]:
    return line.split()


def run(models: Path, *words: str) -> int:
    return main([*words, "--models-dir", str(models)])


class TestList:
    def test_shows_versions_in_order_with_what_they_reach(
        self, tmp_path: Path, output: Output
    ) -> None:
        metrics = {
            "test_accuracy": 0.91,
            "validation_accuracy": 0.9211,
            "test_expected_calibration_error": 0.0123,
        }
        publish(tmp_path, "flowers", 10, metrics=metrics, gate=Gate(passed=False, forced=True))
        publish(tmp_path, "flowers", 9, metrics={"test_accuracy": 0.875})
        publish(tmp_path, "birds", 1, metrics={"test_accuracy": 0.5}, parameters=1_234_567)

        assert run(tmp_path, "list") == 0

        header, *rows = output().splitlines()
        assert cells(header)[:6] == ["MODEL", "VERSION", "TEST", "VALID", "ECE", "GATE"]
        assert [cells(row)[:6] for row in rows] == [
            ["birds", "1", "0.5000", "-", "-", "passed"],
            ["flowers", "9", "0.8750", "-", "-", "passed"],
            ["flowers", "10", "0.9100", "0.9211", "0.0123", "forced"],
        ]
        assert cells(rows[0])[6:8] == ["tiny", "1,234,567"]
        assert cells(rows[0])[-3:] == ["kB", "2026-01-02", "03:04"]

    def test_size_is_that_of_the_files(self, tmp_path: Path, output: Output) -> None:
        folder = publish(tmp_path, "flowers", 1)
        files = [path for path in folder.rglob("*") if path.is_file()]
        expected = sum(path.stat().st_size for path in files if path.name != "manifest.json")

        run(tmp_path, "list", "--json")

        assert json.loads(output())[0]["size_bytes"] == expected

    def test_goes_on_after_a_version_it_cannot_read(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 2, metrics={"test_accuracy": 0.9})
        make_version(tmp_path, "flowers", 1, defect=Defect.BROKEN_MANIFEST)

        assert run(tmp_path, "list") == 0

        _, first, second, reason = output().splitlines()
        assert cells(first)[:6] == ["flowers", "1", "-", "-", "-", "broken"]
        assert "0.9000" in second
        assert reason.startswith(f"{tmp_path / 'flowers' / '1'}: manifest.json is invalid")

    def test_of_an_empty_store_says_so(self, tmp_path: Path, output: Output) -> None:
        assert run(tmp_path / "models", "list") == 0

        assert "no published versions in" in output()

    def test_as_json_has_readable_and_broken_versions(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 2, metrics={"test_accuracy": 0.9})
        make_version(tmp_path, "flowers", 1, defect=Defect.NO_MANIFEST)

        assert run(tmp_path, "list", "--json") == 0

        readable, broken = json.loads(output())
        assert (readable["version"], readable["metrics"]) == (2, {"test_accuracy": 0.9})
        assert (broken["version"], broken["error"]) == (1, "manifest.json is missing")

    def test_of_an_empty_store_as_json_is_an_empty_array(
        self, tmp_path: Path, output: Output
    ) -> None:
        assert run(tmp_path, "list", "--json") == 0

        assert json.loads(output()) == []


class TestShow:
    def test_says_where_the_version_comes_from_and_what_the_gate_said(
        self, tmp_path: Path, output: Output
    ) -> None:
        check = GateCheck(name="train_accuracy", value=0.75, limit=0.8, passed=False)
        publish(tmp_path, "flowers", 3, gate=Gate(passed=False, forced=True, checks=(check,)))

        assert run(tmp_path, "show", "flowers") == 0

        lines = output().splitlines()
        assert lines[0] == "flowers:3"
        assert "gate: forced" in lines
        rows = [cells(line) for line in lines]
        assert ["train_accuracy", "0.75", "0.8", "failed"] in rows
        assert ["fit.epochs", "12"] in rows
        assert ["optimizer.name", "sgd"] in rows
        assert ["command", "keraserve-train", "tiny"] in rows

    def test_says_what_drift_is_measured_against_and_whose_report_it_is(
        self, tmp_path: Path, output: Output
    ) -> None:
        publish(tmp_path, "flowers", 3, statistics=make_statistics(), republished_from=2)

        assert run(tmp_path, "show", "flowers") == 0

        text = output()
        assert "from version 2: samples and report are of that one" in text
        assert "5,000 (training)" in text
        assert "0.9500; 0.7500 of 1,000 images held out" in text
        assert "127.5, 127.5, 127.5" in text

    def test_wraps_many_classes(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 1, classes=tuple(f"class {n}" for n in range(100)))

        run(tmp_path, "show", "flowers:1")

        text = output()
        assert max(map(len, text.splitlines()[3:])) <= 100
        assert "class 99" in text

    def test_as_json_is_the_manifest(self, tmp_path: Path, output: Output) -> None:
        folder = publish(tmp_path, "flowers", 1)

        assert run(tmp_path, "show", "flowers:1", "--json") == 0

        assert output() == (folder / "manifest.json").read_text()

    def test_of_a_broken_version_exits_2_with_the_reason(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = make_version(tmp_path, "flowers", 1, defect=Defect.UNKNOWN_SCHEMA)

        assert run(tmp_path, "show", "flowers") == 2

        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"keraserve-train: {folder}: manifest.json is invalid at schema_ve")


class TestCompare:
    def test_sets_figures_side_by_side(self, tmp_path: Path, output: Output) -> None:
        old = {"test_accuracy": 0.9, "test_loss": 0.4, "train_accuracy": 0.95}
        new = {"test_accuracy": 0.8875, "test_loss": 0.4, "images_per_s": 1234.5}
        publish(tmp_path, "flowers", 1, metrics=old)
        publish(tmp_path, "flowers", 2, metrics=new)

        assert run(tmp_path, "compare", "flowers:1", "flowers:2") == 0

        rows = [cells(line) for line in output().splitlines()]
        assert rows[0] == ["metric", "flowers:1", "flowers:2", "difference"]
        assert ["test_accuracy", "0.9000", "0.8875", "-0.0125"] in rows
        assert ["test_loss", "0.4000", "0.4000", "="] in rows
        assert ["train_accuracy", "0.9500", "-"] in rows
        assert ["images_per_s", "-", "1,234"] in rows

    def test_names_the_settings_that_differ_and_no_other(
        self, tmp_path: Path, output: Output
    ) -> None:
        longer = {**CONFIG, "fit": {"epochs": 45, "seed": 1, "label_smoothing": 0.1}}
        publish(tmp_path, "flowers", 1)
        publish(tmp_path, "flowers", 2, training={"config": longer, "libraries": {"keras": "4"}})

        run(tmp_path, "compare", "flowers:1", "flowers:2")

        lines = output().splitlines()
        settings = lines[lines.index(next(line for line in lines if "configuration" in line)) :]
        assert [cells(line) for line in settings] == [
            ["configuration", "flowers:1", "flowers:2"],
            ["fit.epochs", "12", "45"],
            ["fit.label_smoothing", "-", "0.1"],
            ["(keras)", "3", "4"],
        ]

    def test_of_equal_configurations_says_so(self, tmp_path: Path, output: Output) -> None:
        for version in (1, 2):
            publish(tmp_path, "flowers", version)

        run(tmp_path, "compare", "flowers:1", "flowers:2")

        assert output().splitlines()[-1] == "configuration: no difference"

    def test_shows_f1_of_the_classes_that_both_have(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 1, f1={"rose": 0.8, "tulip": 0.7})
        publish(tmp_path, "flowers", 2, f1={"rose": 0.85, "daisy": 0.9})

        run(tmp_path, "compare", "flowers:1", "flowers:2")

        rows = [cells(line) for line in output().splitlines()]
        assert ["rose", "0.8000", "0.8500", "+0.0500"] in rows
        assert not {"tulip", "daisy"} & {row[0] for row in rows if row}

    def test_does_without_the_report_s_figures(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 1, f1={"rose": 0.8})
        publish(tmp_path, "flowers", 2)

        assert run(tmp_path, "compare", "flowers:1", "flowers:2") == 0

        assert "F1" not in output()

    def test_warns_where_the_data_sets_differ(self, tmp_path: Path, output: Output) -> None:
        publish(tmp_path, "flowers", 1, training={"dataset_fingerprint": "sha256:aaaaaaaaaaaa"})
        publish(tmp_path, "flowers", 2, training={"dataset_fingerprint": "sha256:bbbbbbbbbbbb"})
        publish(tmp_path, "flowers", 3, training={"dataset_fingerprint": "sha256:bbbbbbbbbbbb"})

        run(tmp_path, "compare", "flowers:1", "flowers:2")
        assert output().startswith("warning: judged by different data sets, generated sha256:aaaa")

        run(tmp_path, "compare", "flowers:2", "flowers:3")
        assert "warning" not in output()


class TestRemove:
    def test_removes_one_version(self, tmp_path: Path, output: Output) -> None:
        old, new = publish(tmp_path, "flowers", 1), publish(tmp_path, "flowers", 2)

        assert run(tmp_path, "remove", "flowers:2") == 0

        assert output() == f"removed {new}\n"
        assert not new.exists()
        assert old.is_dir()

    def test_keeps_the_last_good_version_unless_forced(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = publish(tmp_path, "flowers", 1)

        assert run(tmp_path, "remove", "flowers:1") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "flowers:1 is the last good version of flowers; --force" in line
        assert folder.is_dir()

        assert run(tmp_path, "remove", "flowers:1", "--force") == 0
        assert not folder.exists()

    def test_wants_a_number(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folders = [publish(tmp_path, "flowers", version) for version in (1, 2)]

        assert run(tmp_path, "remove", "flowers") == 2

        assert "name the version to remove, as flowers:NUMBER" in capsys.readouterr().err
        assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("words", [("show", "cifar10"), ("compare", "cifar10", "fashion_mnist")])
def test_shipped_versions_are_understood(words: tuple[str, ...], output: Output) -> None:
    models = Path(__file__).parents[4] / "models"

    assert run(models, *words) == 0

    assert "fit.epochs" in output()
