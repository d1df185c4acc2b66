from __future__ import annotations

from pathlib import Path

import pytest

from app.registry.version_policy import All, Latest
from tests.factories.versions import Defect, make_version
from tests.unit.registry.world import World


@pytest.fixture
async def loaded(tmp_path: Path) -> World:
    for name, version in (("cifar10", 1), ("cifar10", 3), ("other", 5)):
        make_version(tmp_path, name, version)
    make_version(tmp_path, version=4, defect=Defect.MISSING_FILE)
    world = World(tmp_path, {"cifar10": All(), "other": Latest()})
    await world.manager.reconcile()
    return world
