"""What the benchmark of ``keraserve classify`` makes of an archive and of its figures."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from benchmarks.bulk import MeasuringError, Rounds, unpack


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as writer:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            writer.addfile(member, io.BytesIO(name.encode()))
    return path


def test_test_pictures_lie_in_folders_of_their_labels_and_side_by_side(tmp_path: Path) -> None:
    names = ("c/labels.txt", "c/train/0_cat.png", "c/test/0_cat.png", "c/test/1_ship.png")
    source = archive(tmp_path / "c.tgz", *names)

    assert unpack(source, tmp_path / "labels", tmp_path / "flat") == 2

    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")}
    assert found == {"labels/cat/0.png", "labels/ship/1.png", "flat/0.png", "flat/1.png"}
    assert (tmp_path / "labels/ship/1.png").read_text() == "c/test/1_ship.png"


def test_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    source = archive(tmp_path / "c.tgz", "c/train/0_cat.png")
    with pytest.raises(MeasuringError, match="has no test/N_class"):
        unpack(source, tmp_path / "labels", tmp_path / "flat")


def test_each_round_is_compared_with_the_best_way_of_the_bound() -> None:
    rounds = Rounds({"a": [10.0, 99.0, 10.0], "b": [20.0, 40.0, 20.0]}, [18.0, 30.0, 19.0])
    assert rounds.best_way == "b"
    assert rounds.ratios == [0.9, 0.75, 0.95]
