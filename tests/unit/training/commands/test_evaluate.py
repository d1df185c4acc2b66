from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from app.errors import ArtifactError
from tests.factories.versions import Defect, edit_manifest, make_manifest, make_version
from training.commands import evaluate
from training.config_file import ConfigError


def run(models_dir: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["evaluate", *words, "--models-dir", str(models_dir)])
    code: int = arguments.handle(arguments)
    return code


def test_version_that_does_not_exist_is_refused_with_what_there_is(tmp_path: Path) -> None:
    make_version(tmp_path, "cifar10")

    with pytest.raises(ArtifactError, match="cifar10"):
        run(tmp_path, "flowers")


def test_damaged_version_is_not_evaluated(tmp_path: Path) -> None:
    make_version(tmp_path, "cifar10", defect=Defect.WRONG_SHA256)

    with pytest.raises(ArtifactError, match=r"model\.keras"):
        run(tmp_path, "cifar10")


def test_imported_version_needs_data_to_be_judged_by(tmp_path: Path) -> None:
    record = make_manifest().training.model_copy(update={"dataset": "imported"})
    folder = make_version(tmp_path, "theirs")
    edit_manifest(folder, training=record.model_dump(mode="json"))

    with pytest.raises(ConfigError, match=r"theirs:1 was imported, .*--data names labelled images"):
        run(tmp_path, "theirs", "--output", str(tmp_path.parent / "out"))


@pytest.mark.parametrize("place", ["cifar10/1/report", "cifar10/7", "."])
def test_nothing_is_written_into_the_store(tmp_path: Path, place: str) -> None:
    folder = make_version(tmp_path / "models", "cifar10")

    with pytest.raises(ConfigError, match="published versions are never changed"):
        run(tmp_path / "models", "cifar10", "--output", str(tmp_path / "models" / place))

    assert (folder / "report" / "report.html").read_text() == "<p>fine</p>"


def test_version_outside_the_store_is_as_untouchable(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "elsewhere", "cifar10")

    with pytest.raises(ConfigError, match="published versions are never changed"):
        run(tmp_path / "models", str(folder), "--output", str(folder / "report"))


def test_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    make_version(tmp_path / "models", "cifar10")
    mine = tmp_path / "work" / "training.log"
    mine.parent.mkdir()
    mine.write_text("mine")

    with pytest.raises(ConfigError, match="holds other files, which a report might replace"):
        run(tmp_path / "models", "cifar10", "--output", str(mine.parent))


def test_output_must_not_be_a_file(tmp_path: Path) -> None:
    make_version(tmp_path / "models", "cifar10")
    (tmp_path / "file").write_text("mine")

    with pytest.raises(ConfigError, match="is no folder"):
        run(tmp_path / "models", "cifar10", "--output", str(tmp_path / "file"))
