"""A server with trusted keys: whose versions it serves, and what it says of the others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from app.errors import ArtifactError
from app.settings import SettingsError
from app.types import ServableState
from tests.api.world import World, add_version, serving, until
from tests.factories.signing import make_key, public_of, sign
from tests.factories.versions import edit_manifest

pytestmark = pytest.mark.timeout(60)


def settings_for(*keys: Path) -> dict[str, Any]:
    trusted = ",".join(str(public_of(key)) for key in keys)
    return {"trusted_keys": trusted, "store_poll_interval_s": 0.05, "keep_warm_s": 0}


async def version_of(world: World, number: int) -> dict[str, Any]:
    models = (await world.client.get("/v1/models")).json()["models"]
    (found,) = (v for model in models for v in model["versions"] if v["version"] == number)
    return dict(found)


def state_of(world: World, number: int) -> ServableState | None:
    return next(
        (
            version.state
            for model in world.lifecycle.statuses()
            for version in model.versions
            if version.version == number
        ),
        None,
    )


async def test_unsigned_and_altered_versions_are_refused_and_the_signed_one_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app")
    store, key = tmp_path / "store", make_key(tmp_path)
    sign(add_version(store, version=1), key)
    add_version(store, version=2)
    altered = add_version(store, version=3)
    sign(altered, key)
    edit_manifest(altered, parameters=43)

    async with serving(store, **settings_for(key)) as world:
        answer = await world.classify()
        refused = {number: await version_of(world, number) for number in (2, 3)}

    assert answer.json()["version"] == 1
    assert refused[2]["state"] == refused[3]["state"] == "FAILED"
    assert "it is not signed" in refused[2]["reason"]
    assert "not what release" in refused[3]["reason"]
    (verified,) = [vars(r) for r in caplog.records if r.message == "signature verified"]
    assert verified["folder"] == str(store / "cifar10" / "1")
    assert verified["signed_by"].startswith("release (")
    reasons = [vars(record).get("reason") for record in caplog.records]
    for version in refused.values():
        assert "KERASERVE_TRUSTED_KEYS" in version["reason"]
        assert version["reason"] in reasons


async def test_version_that_is_signed_later_takes_over_by_itself(tmp_path: Path) -> None:
    store, key, other = tmp_path / "store", make_key(tmp_path), make_key(tmp_path, "nightly")
    sign(add_version(store, version=1), key)
    folder = add_version(store, version=2)

    async with serving(store, **settings_for(key, other)) as world:
        assert state_of(world, 2) is ServableState.FAILED
        sign(folder, other)
        await until(lambda: state_of(world, 2) is ServableState.AVAILABLE)
        assert (await world.classify()).json()["version"] == 2


async def test_without_trusted_keys_signatures_do_not_matter(tmp_path: Path) -> None:
    store = tmp_path / "store"
    folder = add_version(store)
    sign(folder, make_key(tmp_path))
    edit_manifest(folder, parameters=43)

    async with serving(store) as world:
        assert (await world.classify()).status_code == 200


async def test_server_with_a_key_that_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.pub.*KERASERVE_TRUSTED_KEYS"):
        async with serving(tmp_path, trusted_keys=str(tmp_path / "gone.pub")):
            raise ArtifactError("it started")
