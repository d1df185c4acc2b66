"""What is told about the canary and the shadow of a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.registry.rollout_plan import CanaryPlan, ShadowPlan


class RolloutState(StrEnum):
    """Whether another version gets a share of the traffic."""

    ACTIVE = "ACTIVE"
    """It does."""
    WAITING = "WAITING"
    """It would, but the version is not there, or is the default one."""
    ENDED = "ENDED"
    """It did, and passed a threshold."""
    OFF = "OFF"
    """Its share is 0."""


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """One canary.

    Attributes:
        plan: What was asked for.
        state: What has become of it.
        version: The version that is tried, or was.
        reason: Why it waits, or why it has ended.
        requests: In the window of the canary; None unless ACTIVE.
        error_rate: Of these, 0..1.
        p95_s: Of those that did not fail, from the queue to the end of the execution, s.
        stable_p95_s: The same of the stable version meanwhile.
    """

    plan: CanaryPlan
    state: RolloutState
    version: int | None = None
    reason: str | None = None
    requests: int | None = None
    error_rate: float | None = None
    p95_s: float | None = None
    stable_p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """One shadow.

    Attributes:
        plan: What was asked for.
        state: What has become of it.
        version: The version that is compared.
        reason: Why it waits.
        compared: Images that both versions classified.
        agreement: Share of them with the same first label, 0..1; None without any.
        mean_score_difference: Of their first scores, absolute; None without any.
    """

    plan: ShadowPlan
    state: RolloutState
    version: int | None = None
    reason: str | None = None
    compared: int = 0
    agreement: float | None = None
    mean_score_difference: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """Canary and shadow of one model, where there are any."""

    canary: CanaryStatus | None = None
    shadow: ShadowStatus | None = None
