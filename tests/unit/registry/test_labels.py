from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from app.errors import ArtifactError, ServableNotFoundError, ServableNotReadyError
from app.registry.labels import LABELS_FILE, read_labels, set_label, write_labels
from app.registry.version_policy import Latest
from app.types import ServableState
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World

pytestmark = pytest.mark.timeout(20)

AVAILABLE = ServableState.AVAILABLE
FAILED = ServableState.FAILED


class TestFile:
    def test_store_without_a_file_has_no_labels(self, tmp_path: Path) -> None:
        assert read_labels(tmp_path) == {}

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        labels = {"cifar10": {"stable": 2, "canary": 3}, "other": {"a-b_c": 1}}

        write_labels(tmp_path, labels)

        assert read_labels(tmp_path) == labels
        assert [path.name for path in tmp_path.iterdir()] == [LABELS_FILE]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "Invalid JSON"),
            ("[]", "document: Input should be an object"),
            ('{"cifar10": {"stable": "2"}}', "cifar10.stable: Input should be a valid integer"),
            ('{"cifar10": {"stable": 0}}', "cifar10.stable: Input should be greater than"),
            ('{"cifar10": {"7": 2}}', "String should match pattern"),
            ('{"../x": {}}', "String should match pattern"),
        ],
    )
    def test_something_else_is_refused_with_the_place(
        self, text: str, message: str, tmp_path: Path
    ) -> None:
        (tmp_path / LABELS_FILE).write_text(text)

        with pytest.raises(ArtifactError, match=message):
            read_labels(tmp_path)

    def test_disk_that_is_full_leaves_the_old_labels(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_labels(tmp_path, {"cifar10": {"stable": 1}})

        def full(descriptor: int) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ArtifactError, match="cannot be written: No space left on device"):
            write_labels(tmp_path, {"cifar10": {"stable": 2}})

        assert read_labels(tmp_path) == {"cifar10": {"stable": 1}}
        assert [path.name for path in tmp_path.iterdir()] == [LABELS_FILE]

    def test_labels_set_at_once_are_all_there(self, tmp_path: Path) -> None:
        names = [f"label-{n}" for n in range(16)]
        threads = [
            threading.Thread(target=set_label, args=(tmp_path, "cifar10", name, 3))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert read_labels(tmp_path) == {"cifar10": dict.fromkeys(names, 3)}

    def test_label_is_taken_away_and_with_the_last_one_the_model(self, tmp_path: Path) -> None:
        set_label(tmp_path, "cifar10", "canary", 3)
        set_label(tmp_path, "cifar10", "canary", None)
        set_label(tmp_path, "cifar10", "canary", None)

        assert read_labels(tmp_path) == {}

    @pytest.mark.parametrize("label", ["7", "Stable", "", "a b", "../x"])
    def test_what_is_no_name_cannot_be_a_label(self, label: str, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="cannot be a label"):
            set_label(tmp_path, "cifar10", label, 3)


async def serving(tmp_path: Path, versions: int, **labels: int) -> World:
    for version in range(1, versions + 1):
        make_version(tmp_path, version=version)
    write_labels(tmp_path, {"cifar10": labels})
    world = World(tmp_path, {"cifar10": Latest()})
    await world.manager.reconcile()
    return world


class TestServing:
    async def test_labelled_version_is_served_beside_the_newest_and_found_by_its_name(
        self, tmp_path: Path
    ) -> None:
        world = await serving(tmp_path, 3, canary=1)

        assert world.states() == {3: AVAILABLE, 1: AVAILABLE}
        assert world.manager.catalog.resolve(label="canary") == "live cifar10:1"
        assert world.manager.catalog.resolve() == "live cifar10:3"
        (status,) = world.manager.catalog.statuses()
        assert status.labels == {"canary": 1, "stable": 3}

    async def test_stable_pins_the_default_and_newer_versions_have_to_be_asked_for(
        self, tmp_path: Path
    ) -> None:
        world = await serving(tmp_path, 3, stable=2)

        assert world.manager.catalog.resolve() == "live cifar10:2"
        assert world.manager.catalog.resolve(label="stable") == "live cifar10:2"
        assert world.manager.catalog.resolve(version=3) == "live cifar10:3"

    async def test_labels_are_followed_while_serving(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, 2)
        assert world.manager.catalog.resolve() == "live cifar10:2"

        set_label(tmp_path, "cifar10", "stable", 1)
        await world.manager.reconcile()
        assert world.manager.catalog.resolve() == "live cifar10:1"

        set_label(tmp_path, "cifar10", "stable", None)
        await world.manager.reconcile()
        assert world.manager.catalog.resolve() == "live cifar10:2"

    async def test_older_version_stands_in_for_a_pinned_one_that_is_broken_and_never_a_newer(
        self, tmp_path: Path
    ) -> None:
        make_version(tmp_path, version=1)
        make_version(tmp_path, version=2, defect=Defect.WRONG_SIZE)
        make_version(tmp_path, version=3)
        write_labels(tmp_path, {"cifar10": {"stable": 2}})
        world = World(tmp_path, {"cifar10": Latest()})

        await world.manager.reconcile()

        assert world.states() == {3: AVAILABLE, 2: FAILED, 1: AVAILABLE}
        assert world.manager.catalog.resolve() == "live cifar10:1"

    async def test_pinned_version_that_is_nowhere_is_the_reason_for_being_unready(
        self, tmp_path: Path
    ) -> None:
        make_version(tmp_path, version=3)
        write_labels(tmp_path, {"cifar10": {"stable": 2}})
        world = World(tmp_path, {"cifar10": Latest()})

        await world.manager.reconcile()

        (reason,) = world.manager.catalog.unready_reasons()
        assert reason.startswith("cifar10: stable is version 2, which is FAILED: cifar10:2 is not")
        with pytest.raises(ServableNotReadyError, match="stable is version 2"):
            world.manager.catalog.resolve()
        assert world.manager.catalog.resolve(version=3) == "live cifar10:3"

    async def test_unknown_label_is_answered_with_those_there_are(self, tmp_path: Path) -> None:
        world = await serving(tmp_path, 2, canary=1)

        with pytest.raises(ServableNotFoundError, match="no label 'beta'; it has: canary, stable"):
            world.manager.catalog.resolve(label="beta")

    async def test_broken_file_leaves_the_labels_as_they_were_and_is_logged_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = await serving(tmp_path, 2, stable=1)

        (tmp_path / LABELS_FILE).write_text("{")
        await world.manager.reconcile()
        await world.manager.reconcile()

        assert world.manager.catalog.resolve() == "live cifar10:1"
        assert [record.getMessage() for record in caplog.records].count("labels.json not read") == 1

    async def test_labels_hold_while_the_store_is_away(self, tmp_path: Path) -> None:
        store = tmp_path / "store"
        world = await serving(store, 2, stable=1)

        store.rename(tmp_path / "aside")
        await world.manager.reconcile()

        assert world.manager.catalog.resolve() == "live cifar10:1"
