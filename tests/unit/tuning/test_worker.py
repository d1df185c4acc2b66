"""The inside of a measuring process, without an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.artifacts.manifest import Manifest, read_manifest
from app.artifacts.samples import read_samples
from app.errors import OutOfDeviceMemoryError
from app.runtime.policy import EnginePolicy
from app.tuning.worker import prepare_what_fits, resident_bytes, time_executions
from app.types import EngineInfo, ImageArray, ScoreArray
from tests.factories.versions import make_version
from tests.fakes import FakeClock

IMAGES = np.zeros((2, 4, 4, 3), np.uint8)


class Exact:
    """Answers the samples of a version as they are recorded; has memory for so many images."""

    info = EngineInfo("tensorflow", "float32", "cpu")

    def __init__(self, folder: Path, policy: EnginePolicy, room: int) -> None:
        self._scores = read_samples(folder / "samples.npz").probabilities
        self._sizes, self._room, self._served = policy.allowed_batch_sizes, room, 0

    def execute(self, images: ImageArray) -> ScoreArray:
        rows = self._scores[self._served : self._served + len(images)]
        self._served += len(images)
        return rows

    def warm_up(self) -> None:
        if self._sizes[-1] > self._room:
            raise OutOfDeviceMemoryError(f"no memory for {self._sizes[-1]}")

    def close(self) -> None:
        pass


class Ticking:
    """Each execution takes 0.25 s."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.executions = 0
        self.info = EngineInfo("none", "float32", "cpu")

    def execute(self, images: ImageArray) -> ScoreArray:
        self.executions += 1
        self._clock.advance(0.25)
        return np.zeros((len(images), 3), np.float32)

    def warm_up(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("seconds", "timed"),
    [(0, 1), (0.25, 1), (0.3, 2), (1, 4)],
    ids=["none: one all the same", "one", "one that is begun is timed", "several"],
)
def test_executions_are_timed_for_so_long_after_one_that_is_not(seconds: float, timed: int) -> None:
    clock = FakeClock()
    servable = Ticking(clock)

    assert time_executions(servable, IMAGES, seconds, clock) == [0.25] * timed
    assert servable.executions == timed + 1


@pytest.mark.parametrize(("room", "sizes"), [(8, (1, 4, 8)), (7, (1, 4)), (3, (1,))])
def test_batches_that_the_device_has_no_memory_for_are_left_out(
    room: int, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    folder = make_version(tmp_path)

    def load(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Exact:
        return Exact(folder, policy, room)

    policy = EnginePolicy("tensorflow", "float32", (1, 4, 8))
    _, found = prepare_what_fits(folder, read_manifest(folder), policy, load)

    assert found == sizes


def test_a_device_without_room_for_one_image_is_an_error(tmp_path: Path) -> None:
    folder = make_version(tmp_path)

    def load(folder: Path, manifest: Manifest, policy: EnginePolicy) -> Exact:
        return Exact(folder, policy, 0)

    policy = EnginePolicy("tensorflow", "float32", (1, 4, 8))
    with pytest.raises(OutOfDeviceMemoryError, match="no memory for 1"):
        prepare_what_fits(folder, read_manifest(folder), policy, load)


def test_memory_is_that_of_a_python_process_with_numpy() -> None:
    assert 5e6 < resident_bytes() < 1e11
