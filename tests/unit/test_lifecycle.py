"""Start, readiness and drain with versions on disk and puppets for networks."""

import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from prometheus_client import CollectorRegistry

from app.access.caller import Scope
from app.access.key_ring import KeyRing
from app.access.keys_file import create_key
from app.artifacts.manifest import Manifest
from app.errors import BatcherStoppedError, ServableNotReadyError
from app.lifecycle import Lifecycle
from app.runtime.policy import EnginePolicy
from app.settings import Settings
from app.types import Servable
from tests.factories.versions import Defect, edit_manifest, make_version
from tests.fakes import PuppetServable, scores_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]

LENIENT = {"min_top1_agreement": 0.0, "max_deviation": 1.0}  # puppets know no probabilities


class Puppets:
    """Gives every version its own puppet."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.made: list[PuppetServable] = []
        self.is_held = is_held

    def __call__(self, folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
        classes = len(manifest.classes)
        puppet = PuppetServable(lambda images: scores_of(images, classes), is_held=self.is_held)
        self.made.append(puppet)
        return puppet


@pytest.fixture
def store(tmp_path: Path) -> Path:
    edit_manifest(make_version(tmp_path, "cifar10", 1), self_test=LENIENT)
    return tmp_path


@asynccontextmanager
async def running(
    store: Path, load: Callable[[Path, Manifest, EnginePolicy], Servable]
) -> AsyncIterator[Lifecycle]:
    settings = Settings(model_dir=store, shutdown_timeout_s=0.05)
    lifecycle = Lifecycle(settings, CollectorRegistry(), load=load)
    await lifecycle.start()
    try:
        yield lifecycle
    finally:
        await lifecycle.stop()


async def test_version_is_warmed_up_and_tested_before_it_takes_traffic(store: Path) -> None:
    puppets = Puppets()
    async with running(store, puppets) as lifecycle:
        with pytest.raises(ServableNotReadyError):
            lifecycle.director.choose(None, None, None, key="")
        await lifecycle.loaded()
        assert lifecycle.unready_reasons() == []
        live = lifecycle.director.choose(None, None, "stable", key="").live
        assert str(live.id) == "cifar10:1"
        assert puppets.made[0].warm_ups == 1
        assert puppets.made[0].batch_sizes == [4], "the four samples of the self-test"
    assert puppets.made[0].is_closed
    assert lifecycle.is_drained


async def test_version_that_fails_its_self_test_is_never_served(store: Path) -> None:
    edit_manifest(store / "cifar10" / "1", self_test={"max_deviation": 1e-6})
    puppets = Puppets()
    async with running(store, puppets) as lifecycle:
        await lifecycle.loaded()
        (model,) = lifecycle.statuses()
        assert model.versions[0].state == "FAILED"
        assert "self-test" in (model.versions[0].reason or "")
        assert lifecycle.unready_reasons()
        assert puppets.made[0].is_closed


async def test_older_version_serves_where_the_newest_is_broken(store: Path) -> None:
    make_version(store, "cifar10", 2, defect=Defect.WRONG_SHA256)
    async with running(store, Puppets()) as lifecycle:
        await lifecycle.loaded()
        assert lifecycle.director.choose(None, None, None, key="").live.id.version == 1
        assert lifecycle.unready_reasons() == []


async def test_empty_store_is_never_ready(tmp_path: Path) -> None:
    async with running(tmp_path, Puppets()) as lifecycle:
        await lifecycle.loaded()
        assert lifecycle.unready_reasons()


async def test_draining_turns_readiness_off_before_it_refuses(store: Path) -> None:
    async with running(store, Puppets()) as lifecycle:
        await lifecycle.loaded()
        lifecycle.begin_drain()
        assert lifecycle.unready_reasons() == ["draining"]
        assert not lifecycle.is_draining
        lifecycle.refuse()
        assert lifecycle.is_draining


async def test_stop_while_loading_closes_what_was_being_built(store: Path) -> None:
    puppets = Puppets(is_held=True)  # the self-test does not return
    lifecycle = Lifecycle(Settings(model_dir=store), CollectorRegistry(), load=puppets)
    await lifecycle.start()
    while not puppets.made:
        await anyio.lowlevel.checkpoint()
    await puppets.made[0].began(1)
    async with anyio.create_task_group() as group:
        group.start_soon(lifecycle.stop)
        await anyio.wait_all_tasks_blocked()
        puppets.made[0].let_go()
    assert puppets.made[0].is_closed


async def test_stop_does_not_wait_for_a_load_for_ever(store: Path) -> None:
    puppets = Puppets(is_held=True)  # the self-test does not return
    settings = Settings(model_dir=store, shutdown_timeout_s=0.05)
    lifecycle = Lifecycle(settings, CollectorRegistry(), load=puppets)
    await lifecycle.start()
    while not puppets.made:
        await anyio.lowlevel.checkpoint()
    await puppets.made[0].began(1)

    await lifecycle.stop()

    assert not puppets.made[0].is_closed, "its thread is still inside"
    puppets.made[0].let_go()
    while not puppets.made[0].is_closed:  # what it builds is not left behind
        await anyio.lowlevel.checkpoint()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
async def test_versions_load_behind_the_threads_that_serve(store: Path) -> None:
    niceness = []
    puppets = Puppets()

    def load(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Servable:
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return puppets(folder, manifest, policy)

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    async with running(store, load) as lifecycle:
        await lifecycle.loaded()

    assert niceness == [max(own, 10)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


async def test_execution_that_hangs_cannot_keep_the_service_from_stopping(store: Path) -> None:
    puppets = Puppets()
    async with running(store, puppets) as lifecycle:
        await lifecycle.loaded()
        live = lifecycle.director.choose(None, None, None, key="").live
        puppets.made[0].hold()
        task = live.batcher.schedule(puppets.made[0].executed[0][0])
        await puppets.made[0].began(2)
    with pytest.raises(BatcherStoppedError):
        await task
    assert not lifecycle.is_drained
    assert not puppets.made[0].is_closed, "its thread is still inside"
    puppets.made[0].let_go()


async def test_request_that_was_cut_off_is_no_clean_end(store: Path) -> None:
    async with running(store, Puppets()) as lifecycle:
        await lifecycle.loaded()
        lifecycle.request_cut_off()
    assert not lifecycle.is_drained


NO_KEYS = "no API keys are asked for: whoever reaches the server may classify"
KEYS = "API keys are asked for"
MOUNTED = "WARNING the file of keys is mounted by itself"


async def lines_of_the_start(lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO, "app.lifecycle")
    await lifecycle.start()
    lines = [record for record in caplog.records if record.name == "app.lifecycle"]
    await lifecycle.stop()
    return [f"{record.levelname} {record.message}" for record in lines]


@pytest.mark.parametrize(
    ("host", "level"),
    [
        ("127.8.0.1", "INFO"),
        ("::1", "INFO"),
        ("localhost", "INFO"),
        ("0.0.0.0", "WARNING"),
        ("::", "WARNING"),
        ("192.168.1.5", "WARNING"),
        ("serving.example", "WARNING"),
    ],
)
async def test_start_says_that_no_keys_are_asked_for_and_warns_where_others_reach_it(
    host: str, level: str, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(model_dir=store, host=host)
    lifecycle = Lifecycle(settings, CollectorRegistry(), load=Puppets())
    assert await lines_of_the_start(lifecycle, caplog) == [f"{level} {NO_KEYS}"]


class MountedRing(KeyRing):
    """Of a file that is mounted without its folder."""

    @property
    def may_miss_changes(self) -> bool:
        return True


@pytest.mark.parametrize("is_mounted", [False, True])
async def test_start_says_that_keys_are_asked_for_and_warns_where_it_may_miss_some(
    is_mounted: bool, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = store / "keys.json"
    create_key(path, "a", [Scope.INFER])
    settings = Settings(model_dir=store, host="0.0.0.0", api_keys_file=path)
    lifecycle = Lifecycle(settings, CollectorRegistry(), load=Puppets())
    if is_mounted:
        lifecycle.key_ring = MountedRing(path)
    first, *more = await lines_of_the_start(lifecycle, caplog)
    assert first == f"INFO {KEYS}"
    assert [line.split(":")[0] for line in more] == [MOUNTED] * is_mounted


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o644, False), (0o664, True)])
async def test_start_warns_of_a_file_of_keys_that_others_may_write(
    mode: int, is_told: bool, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = store / "keys.json"
    create_key(path, "a", [Scope.INFER])
    path.chmod(mode)
    settings = Settings(model_dir=store, host="0.0.0.0", api_keys_file=path)
    _, *more = await lines_of_the_start(
        Lifecycle(settings, CollectorRegistry(), load=Puppets()), caplog
    )
    assert [line.split(",")[0] for line in more] == [
        "WARNING others may write the file of keys"
    ] * is_told
