"""Which share of a model's traffic another version gets: what is asked for, not how it goes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.artifacts.manifest import NAME_PATTERN

LATEST = "latest"
"""The target that is the newest version above the default one, whichever that is by now."""

TARGET_PATTERN = r"^([1-9][0-9]{0,17}|[a-z][a-z0-9_-]{0,62})$"
"""A version, a label, or ``latest``."""

Target = Annotated[str, StringConstraints(pattern=TARGET_PATTERN)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
LatencyRatio = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)]
WindowSize = Annotated[int, Field(ge=1, le=500)]

_MOST_ENDS = 16
"""So many versions that have ended are remembered: those of before are hardly on disk any more."""


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShadowPlan(_Plan):
    """Images that another version classifies once more, for comparison alone."""

    target: Target = Field(description="A version, a label, or `latest`.", examples=["canary"])
    share: Share = Field(description="Of the images, 0..1; 0 is none.", examples=[0.1])


class CanaryPlan(_Plan):
    """Requests that another version answers, and what makes that end.

    The thresholds are read from the last 500 requests of either version.
    """

    target: Target = Field(description="A version, a label, or `latest`.", examples=["3"])
    share: Share = Field(description="Of the requests that name no version, 0..1.", examples=[0.05])
    # One failure in twenty is far above what any healthy version shows, and a hundred requests
    # tell it from one that fails by chance.
    max_error_rate: Share = Field(
        0.05,
        description="Where the share of its requests that fail is by more than this above that of "
        "the stable version, it ends.",
    )
    max_latency_ratio: LatencyRatio = Field(
        2.0, description="Above this multiple of the stable version's p95 it ends."
    )
    min_requests: WindowSize = Field(100, description="Nothing is concluded from fewer requests.")


class CanaryEnd(_Plan):
    """Why a version is canary no longer."""

    version: int
    reason: str
    ended_at: datetime


class RolloutPlan(_Plan):
    """What one model's traffic is meant to do.

    Attributes:
        canary: Requests answered by another version; None where nobody said anything.
        shadow: Images classified once more; None where nobody said anything.
        ended: The versions that did not hold what they promised, and are not tried again.
    """

    canary: CanaryPlan | None = None
    shadow: ShadowPlan | None = None
    ended: tuple[CanaryEnd, ...] = ()

    def end_of(self, version: int) -> CanaryEnd | None:
        """Return why a version is canary no longer; None where it may be one."""
        return next((end for end in self.ended if end.version == version), None)

    def with_ends(self, *ends: CanaryEnd) -> RolloutPlan:
        """Return this plan with more versions that have ended."""
        versions = {end.version for end in ends}
        kept = (end for end in self.ended if end.version not in versions)
        return self.model_copy(update={"ended": (*kept, *ends)[-_MOST_ENDS:]})

    def over(self, default: RolloutPlan | None) -> RolloutPlan:
        """Return this plan, with the settings' where nothing was said here."""
        if default is None:
            return self
        return self.model_copy(
            update={
                "canary": self.canary if self.canary is not None else default.canary,
                "shadow": self.shadow if self.shadow is not None else default.shadow,
            }
        )

    def targets(self) -> tuple[str, ...]:
        """Return what has to be loaded for it."""
        plans = (self.canary, self.shadow)
        return tuple(plan.target for plan in plans if plan is not None and plan.share > 0)


NO_ROLLOUT = RolloutPlan()


def target_version(target: str, labels: Mapping[str, int], versions: Collection[int]) -> int | None:
    """Return the version that a target means, of those that there are; None for none of them.

    Args:
        target: A version, a label, or ``latest``.
        labels: Versions by label.
        versions: Those that can be meant.
    """
    if target == LATEST:
        return max(versions, default=None)
    number = int(target) if target.isdigit() else labels.get(target)
    return number if number in versions else None


def parse_shares(text: str | None, setting: str) -> dict[str, dict[str, Any]]:
    """Parse ``cifar10:latest=0.05, fashion_mnist:3=0.5``: model, target, share.

    Args:
        text: The setting's value; None for none.
        setting: Its name, for errors.

    Returns:
        ``target`` and ``share`` by model.

    Raises:
        ValueError: An entry is something else; says which and why.
    """
    plans: dict[str, dict[str, Any]] = {}
    for entry in (part.strip() for part in text.split(",")) if text else ():
        match = re.fullmatch(r"([^:=\s]+)\s*:\s*([^:=\s]+)\s*=\s*([0-9]*\.?[0-9]+)", entry)
        if match is None:
            raise ValueError(f"{setting}: {entry!r} must be model:target=share, as cifar10:3=0.05")
        name, target, share = match.groups()
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(f"{setting}: {name!r} cannot name a model")
        if not re.fullmatch(TARGET_PATTERN, target):
            raise ValueError(f"{setting}: {target!r} must be a version, a label, or {LATEST}")
        if name in plans:
            raise ValueError(f"{setting}: {name!r} is named twice")
        if float(share) > 1:
            raise ValueError(f"{setting}: the share {share} of {name} must be 0 to 1")
        plans[name] = {"target": target, "share": float(share)}
    return plans
