"""One version on several devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from app.types import EngineInfo, ImageArray, ScoreArray, Servable


class DeviceGroup:
    """Several servables of one version, one for each device; implements ``ServableGroup``.

    A batcher executes on the members, all at once. Called as one servable, the first one answers.
    """

    joins_at: int = 1

    def __init__(self, members: Sequence[Servable]) -> None:
        """Own ``members``, at least one."""
        self.members = tuple(members)

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device, as ``2 × NVIDIA H100``."""
        info = self.members[0].info
        titles = [member.info.device for member in self.members]
        kinds = dict.fromkeys(titles)
        device = ", ".join(f"{titles.count(kind)} × {kind}" for kind in kinds)
        return EngineInfo(info.engine, info.precision, device, info.device_id)

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1; on the first."""
        return self.members[0].execute(images)

    def warm_up(self) -> None:
        """Execute every allowed batch size once on every device, one after the other."""
        for member in self.members:
            member.warm_up()

    def close(self) -> None:
        """Close every member, whatever one of them makes of it."""
        with ExitStack() as closing:
            for member in self.members:
                closing.callback(member.close)


def servable_of(builds: Iterable[Callable[[], Servable]]) -> Servable:
    """Build a servable for each device; return the one, or a group of them.

    Whatever one of them raises is raised, with those before it closed.
    """
    with ExitStack() as undo:
        members: list[Servable] = []
        for build in builds:
            members.append(build())
            undo.callback(members[-1].close)
        undo.pop_all()
    return members[0] if len(members) == 1 else DeviceGroup(members)
