from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import MalformedRequestError, ServableNotFoundError, ServableNotReadyError
from app.types import ServableState
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World

pytestmark = pytest.mark.timeout(20)

AVAILABLE = ServableState.AVAILABLE
FAILED = ServableState.FAILED


@pytest.mark.parametrize(
    ("name", "version", "label", "live"),
    [
        pytest.param(None, None, None, "live cifar10:3", id="nothing means the default's default"),
        pytest.param("other", None, None, "live other:5", id="a name means its default version"),
        pytest.param(None, 1, None, "live cifar10:1", id="a version is of the default model"),
        pytest.param("cifar10", 1, None, "live cifar10:1", id="a version of a name is that one"),
        pytest.param(None, None, "stable", "live cifar10:3", id="stable is the default version"),
        pytest.param("other", None, "stable", "live other:5", id="every model has a stable one"),
    ],
)
async def test_resolve_finds(
    loaded: World, name: str | None, version: int | None, label: str | None, live: str
) -> None:
    assert loaded.manager.catalog.resolve(name, version, label) == live


@pytest.mark.parametrize(
    ("name", "version", "label", "code", "text"),
    [
        ("foo", None, None, "model_not_found", "no model 'foo'; there is: cifar10, other"),
        ("", None, None, "model_not_found", "no model ''"),
        ("foo", 1, None, "model_not_found", "no model 'foo'"),
        (None, 9, None, "version_not_found", "cifar10 has no version 9; it has: 4, 3, 1"),
        ("other", -1, None, "version_not_found", "other has no version -1; it has: 5"),
        (None, None, "beta", "label_not_found", "cifar10 has no label 'beta'; it has: stable"),
    ],
)
async def test_what_is_not_there_is_answered_with_what_is(
    loaded: World, name: str | None, version: int | None, label: str | None, code: str, text: str
) -> None:
    with pytest.raises(ServableNotFoundError) as caught:
        loaded.manager.catalog.resolve(name, version, label)

    assert caught.value.code == code
    assert text in str(caught.value)


async def test_failed_version_is_not_ready_with_its_reason(loaded: World) -> None:
    with pytest.raises(ServableNotReadyError, match=r"^cifar10:4 is FAILED: 'model\.keras' is mis"):
        loaded.manager.catalog.resolve(version=4)


async def test_version_and_label_together_are_refused(loaded: World) -> None:
    with pytest.raises(MalformedRequestError, match="version 1 and label 'stable'"):
        loaded.manager.catalog.resolve(version=1, label="stable")


async def test_statuses_tell_everything_newest_first(loaded: World) -> None:
    cifar10_status, other_status = loaded.manager.catalog.statuses()

    assert (cifar10_status.name, cifar10_status.default_version) == ("cifar10", 3)
    assert cifar10_status.labels == {"stable": 3}
    assert [(v.version, v.state, v.live) for v in cifar10_status.versions] == [
        (4, FAILED, None),
        (3, AVAILABLE, "live cifar10:3"),
        (1, AVAILABLE, "live cifar10:1"),
    ]
    assert (other_status.name, other_status.default_version) == ("other", 5)


async def test_model_that_is_not_ready_has_no_default_and_no_labels(tmp_path: Path) -> None:
    make_version(tmp_path, defect=Defect.NO_MANIFEST)
    world = World(tmp_path)

    await world.manager.reconcile()

    [status] = world.manager.catalog.statuses()
    assert (status.default_version, status.labels) == (None, {})
