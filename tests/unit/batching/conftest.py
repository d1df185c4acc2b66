"""Fixtures of the batching tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes import PuppetServable
from tests.unit.batching.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(PuppetServable())
    yield world
    await world.close()
