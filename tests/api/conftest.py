"""The running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.doorway import ELSEWHERE, SETTINGS, Doorway, doorway
from tests.api.world import World, serving


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as world:
        yield world


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Doorway]:
    async with serving(tmp_path, **SETTINGS) as world, doorway(world) as door:
        yield door


@pytest.fixture(params=["express", "route"])
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The headers that send a request the one way or the other."""
    return () if request.param == "express" else (ELSEWHERE,)
