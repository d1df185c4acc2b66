from __future__ import annotations

from pathlib import Path

import pytest

from app.artifacts.manifest import Manifest, read_manifest
from app.errors import ArtifactError
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import prepare_servable
from app.runtime.servable_group import DeviceGroup
from app.types import ImageArray, ScoreArray, ServableState
from tests.factories.versions import edit_manifest, make_version
from tests.fakes import PuppetServable, scores_of
from tests.unit.runtime.test_choices import CPU, GPU

PASSES = {"min_top1_agreement": 0, "max_deviation": 1}


class Engines:
    """Puppets by engine and precision, of which some cannot be loaded."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.made: dict[str, PuppetServable] = {}

    def load(self, folder: Path, manifest: Manifest, policy: EnginePolicy) -> PuppetServable:
        name = f"{policy.engine} {policy.precision}"
        if name in self.broken:
            raise ArtifactError(f"{name} is broken")
        self.made[name] = PuppetServable(lambda images: scores_of(images, 3))
        return self.made[name]


def test_best_engine_is_taken_and_the_others_are_left_alone(tmp_path: Path) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test=PASSES)
    engines, told = Engines(), list[ServableState]()
    servable, result = prepare_servable(
        folder, read_manifest(folder), EnginePolicy(), engines.load, told.append, CPU
    )
    assert engines.made == {"openvino bfloat16": servable}
    assert result.samples == 4
    assert told == [ServableState.WARMING, ServableState.TESTING]


def test_engine_that_fails_is_passed_over_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test=PASSES)
    engines = Engines("openvino bfloat16")
    servable, _ = prepare_servable(
        folder, read_manifest(folder), EnginePolicy(), engines.load, host=CPU
    )
    assert engines.made == {"openvino float32": servable}
    (record,) = caplog.records
    assert record.getMessage() == "engine passed over"
    assert vars(record)["reason"] == "openvino bfloat16 is broken"


def test_where_all_fail_the_last_reason_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test={"min_top1_agreement": 1, "max_deviation": 1e-9})
    engines = Engines("tensorflow float32")
    with pytest.raises(ArtifactError, match="tensorflow float32 is broken"):
        prepare_servable(folder, read_manifest(folder), EnginePolicy(), engines.load, host=CPU)
    assert set(engines.made) == {"openvino bfloat16", "openvino float32", "tensorflow bfloat16"}
    assert all(puppet.is_closed for puppet in engines.made.values())


def test_on_several_devices_each_has_to_pass(tmp_path: Path) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test=PASSES)
    good = PuppetServable(lambda images: scores_of(images, 3))
    other = PuppetServable(lambda images: scores_of(images, 4))  # answers in another shape
    made = DeviceGroup([good, other])
    policy = EnginePolicy("tensorflow", "float32", devices=("gpu:0", "gpu:1"))
    with pytest.raises(ArtifactError, match="shape"):
        prepare_servable(folder, read_manifest(folder), policy, lambda *_: made, host=GPU)
    assert (good.is_closed, other.is_closed) == (True, True)

    other.behave = good.behave
    servable, _ = prepare_servable(folder, read_manifest(folder), policy, lambda *_: made, host=GPU)
    assert servable is made
    assert len(good.executed) == len(other.executed)


class Shared(DeviceGroup):
    """Two members on one device."""

    joins_at = 6

    def __init__(self, members: list[PuppetServable], whole: PuppetServable) -> None:
        super().__init__(members)
        self.whole = whole

    def execute(self, images: ImageArray) -> ScoreArray:
        return self.whole.execute(images)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_where_members_share_a_device_every_way_has_to_pass(tmp_path: Path, broken: int) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test=PASSES)
    policy = EnginePolicy("openvino", "float32")
    ways = [PuppetServable(lambda images: scores_of(images, 3)) for _ in range(3)]
    made = Shared(ways[:2], ways[2])
    _, result = prepare_servable(folder, read_manifest(folder), policy, lambda *_: made, host=CPU)
    assert result.samples == 4
    # Four samples are too few for the way of large batches: they are filled up to those.
    assert [way.batch_sizes for way in ways] == [[6], [6], [4]]

    ways[broken].behave = lambda images: scores_of(images, 4)
    with pytest.raises(ArtifactError, match="shape"):
        prepare_servable(folder, read_manifest(folder), policy, lambda *_: made, host=CPU)


class Staging(PuppetServable):
    """A puppet that can be asked in two ways."""

    def stage(self, images: ImageArray) -> ImageArray:
        return images

    def execute_staged(self, staged: ImageArray) -> ScoreArray:
        return scores_of(staged, 4)


def test_what_is_staged_has_to_pass_as_well(tmp_path: Path) -> None:
    folder = make_version(tmp_path, is_exported=True)
    edit_manifest(folder, self_test=PASSES)
    policy = EnginePolicy("openvino", "float32")
    made = Staging(lambda images: scores_of(images, 3))
    with pytest.raises(ArtifactError, match="shape"):
        prepare_servable(folder, read_manifest(folder), policy, lambda *_: made, host=CPU)
    assert made.is_closed
