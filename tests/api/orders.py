"""Orders to the application, and what their answers say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.api.world import World, add_version, serving, until
from tests.fakes import PuppetServable

# The store is looked at when it is asked for, and else not within a test.
SETTINGS: dict[str, Any] = {"store_watch": "off", "keep_warm_s": 0}


@asynccontextmanager
async def serving_versions(store: Path, versions: int, **settings: Any) -> AsyncIterator[World]:
    for version in range(1, versions + 1):
        add_version(store, version=version)
    async with serving(store, **(SETTINGS | settings)) as world:
        yield world


def done(response: httpx.Response, *, changed: bool | None = None) -> dict[str, Any]:
    """Assert that an order was carried out; return how its model stands.

    Args:
        response: The answer.
        changed: Whether it was news, where that matters.
    """
    assert response.status_code == 200, response.text
    answer = response.json()
    assert list(answer) == ["request_id", "changed", "settled", "models"]
    assert answer["settled"]
    assert changed is None or answer["changed"] == changed
    (model,) = answer["models"]
    assert isinstance(model, dict)
    return model


def states(model: dict[str, Any]) -> dict[int, str]:
    return {version["version"]: version["state"] for version in model["versions"]}


async def version_that_answers(world: World, **query: Any) -> int:
    answer = await world.classify(**query)
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["version"]
    return version


async def begun(world: World, version: str) -> PuppetServable:
    """Wait until a version that is held has come to its self-test."""
    await until(lambda: version in world.puppets)
    await world.puppets[version].began(1)
    return world.puppets[version]
