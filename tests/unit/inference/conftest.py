"""Fixtures of the tests of reused results."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.inference.result_cache import ResultCache
from tests.fakes import PuppetServable
from tests.unit.batching.world import (
    World,
    refuse_poison,
)
from tests.unit.inference.test_result_cache import Recorder


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(PuppetServable(refuse_poison))
    yield world
    await world.close()


@pytest.fixture
def cache() -> ResultCache:
    return ResultCache(1_000_000, Recorder())
