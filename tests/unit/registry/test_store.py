from __future__ import annotations

import logging
from pathlib import Path

import pytest

from app.errors import ArtifactError
from app.registry.store import ModelStore, StoredVersion
from app.types import ServableId
from tests.factories.signing import make_key, sign, trust_in
from tests.factories.versions import Defect, make_version

ONE = ServableId("cifar10", 1)


def test_models_are_listed_by_name_and_versions_newest_first(tmp_path: Path) -> None:
    for name, version in (("b", 2), ("b", 10), ("a", 1)):
        make_version(tmp_path, name, version)
    store = ModelStore(tmp_path)

    assert store.models() == ("a", "b")
    assert store.versions("b") == (10, 2)


@pytest.mark.parametrize(
    "folder",
    [".staging-2-ab", "007", "0", "-3", "+3", "1.0", "1_0", "latest", "٣", "9" * 19, " 4"],
)
def test_folder_that_is_no_canonical_version_is_ignored(tmp_path: Path, folder: str) -> None:
    make_version(tmp_path, version=1)
    (tmp_path / "cifar10" / folder).mkdir()

    assert ModelStore(tmp_path).versions("cifar10") == (1,)


def test_files_are_no_versions_and_no_models(tmp_path: Path) -> None:
    make_version(tmp_path, version=1)
    (tmp_path / "cifar10" / "2").write_text("")
    (tmp_path / "other").write_text("")

    assert ModelStore(tmp_path).versions("cifar10") == (1,)
    assert ModelStore(tmp_path).versions("other") == ()
    assert ModelStore(tmp_path).models() == ("cifar10",)


def test_model_without_a_version_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "cifar10" / ".staging-1-ab").mkdir(parents=True)

    assert ModelStore(tmp_path).models() == ()


def test_folder_that_cannot_name_a_model_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_version(tmp_path).parent.rename(tmp_path / "My Model")

    assert ModelStore(tmp_path).models() == ()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["folder"] == "My Model"


def test_missing_root_has_no_models(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "gone")

    assert store.models() == ()
    assert store.versions("cifar10") == ()


@pytest.mark.parametrize("link", ["cifar10", "cifar10/1"], ids=["model", "version"])
def test_link_that_leads_out_of_the_store_is_refused(tmp_path: Path, link: str) -> None:
    make_version(tmp_path / "elsewhere")
    path = tmp_path / "models" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere" / link)

    assert ModelStore(tmp_path / "models").versions("cifar10") == (1,)
    with pytest.raises(ArtifactError, match="out of the store"):
        ModelStore(tmp_path / "models").read(ONE)


def test_store_may_be_a_link_and_have_links_inside(tmp_path: Path) -> None:
    version = make_version(tmp_path / "disk" / "cellar", "cifar10", 1)
    (tmp_path / "disk" / "cifar10").symlink_to(version.parent)
    (tmp_path / "models").symlink_to(tmp_path / "disk")

    assert ModelStore(tmp_path / "models").read(ONE).version == 1


def test_store_with_trusted_keys_reads_signed_versions_alone(tmp_path: Path) -> None:
    folder, key = make_version(tmp_path / "models"), make_key(tmp_path)
    store = ModelStore(tmp_path / "models", trust_in(key))
    with pytest.raises(ArtifactError, match="not signed"):
        store.read(ONE)
    before = store.signature(ONE)

    sign(folder, key)

    assert store.read(ONE).version == 1
    assert store.signature(ONE) != before  # so that it is tried again


def test_folder_that_cannot_be_listed_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ArtifactError, match=r"loop' cannot be listed: Too many levels"):
        ModelStore(tmp_path / "loop").models()
    with pytest.raises(ArtifactError, match=r"loop' cannot be listed: Too many levels"):
        ModelStore(tmp_path).versions("loop")


def test_version_is_located_without_looking(tmp_path: Path) -> None:
    assert ModelStore(tmp_path).locate(ONE) == StoredVersion(ONE, tmp_path / "cifar10" / "1")


def test_manifest_of_a_whole_version_is_read(tmp_path: Path) -> None:
    make_version(tmp_path)

    assert ModelStore(tmp_path).read(ONE).classes == ("cat", "dog", "frog")


@pytest.mark.parametrize(
    ("defect", "text"),
    [
        (Defect.NO_MANIFEST, r"manifest\.json is missing"),
        (Defect.BROKEN_MANIFEST, r"manifest\.json is invalid at document"),
        (Defect.UNKNOWN_SCHEMA, r"manifest\.json is invalid at schema_version"),
        (Defect.OTHER_NAME, "describes other:1, the folder is cifar10:1"),
        (Defect.OTHER_VERSION, "describes cifar10:77, the folder is cifar10:1"),
    ],
)
def test_version_without_a_right_manifest_is_refused(
    tmp_path: Path, defect: Defect, text: str
) -> None:
    make_version(tmp_path, defect=defect)

    with pytest.raises(ArtifactError, match=text):
        ModelStore(tmp_path).read(ONE)


def test_version_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cifar10:1 is not in the store"):
        ModelStore(tmp_path).read(ONE)
