from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from app.runtime.policy import EnginePolicy
from app.runtime.private_copy import from_private_copy
from tests.factories.versions import make_version
from tests.fakes import PuppetServable


class Engine:
    """Reads what it is given, as engines do."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.folder = Path()
        self.content: dict[str, bytes] = {}
        self.mode = 0
        self.fails = fails

    def load(self, folder: Path, manifest: Manifest, policy: EnginePolicy) -> PuppetServable:
        self.folder, self.mode = folder, stat.S_IMODE(folder.stat().st_mode)
        paths = (path for path in folder.rglob("*") if path.is_file())
        self.content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        if self.fails is not None:
            raise self.fails
        return PuppetServable()


def load(folder: Path, engine: Engine) -> None:
    from_private_copy(engine.load)(folder, read_manifest(folder), EnginePolicy())


def test_engine_gets_the_files_of_the_manifest_in_a_folder_of_our_own(tmp_path: Path) -> None:
    folder, engine = make_version(tmp_path, is_exported=True), Engine()

    load(folder, engine)

    names = {"model.keras", "samples.npz", "openvino/model.xml"}
    assert engine.content == {name: (folder / name).read_bytes() for name in names}
    assert engine.folder != folder
    assert engine.mode == 0o700
    assert not engine.folder.exists()


def replace(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("change", [replace, lengthen, shorten])
def test_file_that_changed_after_its_comparison_is_never_loaded(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder, engine = make_version(tmp_path), Engine()
    change(folder / "model.keras")

    with pytest.raises(ArtifactError, match=r"'model\.keras' was altered after"):
        load(folder, engine)
    assert engine.content == {}


def test_file_that_became_a_link_is_refused(tmp_path: Path) -> None:
    folder, engine = make_version(tmp_path), Engine()
    (folder / "model.keras").rename(tmp_path / "model.keras")
    (folder / "model.keras").symlink_to(tmp_path / "model.keras")

    with pytest.raises(ArtifactError, match="cannot be made"):
        load(folder, engine)
    assert engine.content == {}


@pytest.mark.parametrize("kind", [ArtifactError, OSError])
def test_copy_is_gone_though_loading_failed(tmp_path: Path, kind: type[Exception]) -> None:
    engine = Engine(fails=kind("no such engine"))

    with pytest.raises(kind, match="no such engine"):
        load(make_version(tmp_path), engine)
    assert engine.content
    assert not engine.folder.exists()


def test_where_no_copy_can_be_made_the_setting_and_the_place_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    with pytest.raises(ArtifactError, match=r"KERASERVE_TRUSTED_KEYS.*gone.*TMPDIR"):
        load(make_version(tmp_path), Engine())
