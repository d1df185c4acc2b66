from __future__ import annotations

import numpy as np
import pytest

from app.runtime.servable_group import DeviceGroup
from app.types import EngineInfo, ServableGroup
from tests.fakes import PuppetServable, scores_of

IMAGES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)


class Named(PuppetServable):
    """A puppet on a device that has a name."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("tensorflow", "float16", self._device)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        pytest.param(["A100", "A100"], "2 × A100", id="two of a kind"),
        pytest.param(["T4", "A100", "T4"], "2 × T4, 1 × A100", id="two kinds"),
    ],
)
def test_devices_are_counted_by_kind(devices: list[str], expected: str) -> None:
    info = DeviceGroup([Named(device) for device in devices]).info
    assert info == EngineInfo("tensorflow", "float16", expected)


def test_as_one_servable_the_first_answers_and_all_are_warmed_up() -> None:
    members = [PuppetServable(), PuppetServable()]
    group = DeviceGroup(members)
    assert isinstance(group, ServableGroup)
    np.testing.assert_array_equal(group.execute(IMAGES), scores_of(IMAGES))
    group.warm_up()
    assert [member.batch_sizes for member in members] == [[3], []]
    assert [member.warm_ups for member in members] == [1, 1]


def test_every_member_is_closed_whatever_one_makes_of_it() -> None:
    members = [PuppetServable(), PuppetServable(), PuppetServable()]

    def fail() -> None:
        raise RuntimeError("stuck")

    members[1].on_close = fail
    with pytest.raises(RuntimeError, match="stuck"):
        DeviceGroup(members).close()
    assert all(member.is_closed for member in members)
