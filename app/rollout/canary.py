"""One canary: which requests it gets, how it does beside the stable version, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.registry.rollout_plan import CanaryPlan
from app.rollout.sharing import position_of
from app.rollout.window import RequestWindow, p95
from app.types import ServableId

Arm = Literal["canary", "stable"]

LATENCY_SLACK_S = 0.02
"""Differences below this are none: on a busy CPU, a p95 of 3 ms is 15 ms in the next minute."""

_LOOK_EVERY = 20
"""Requests of the canary between two looks at its latency: those sort two windows."""


EndCause = Literal["error_rate", "latency"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a canary must end: which threshold it passed, and that in words."""

    cause: EndCause
    reason: str


class Canary:
    """Compares two versions by the requests that each of them answered.

    Loop: everything runs on one event loop.
    End: a recorded request returns why it must end, once; from then on it takes none.

    Attributes:
        plan: What was asked for.
        version: The version that is tried.
        windows: The last requests of either side.
        verdict: Why it has ended, or None.
    """

    def __init__(self, plan: CanaryPlan, version: ServableId) -> None:
        """Begin without any request."""
        self.plan = plan
        self.version = version
        self.windows: dict[Arm, RequestWindow] = {
            "canary": RequestWindow(),
            "stable": RequestWindow(),
        }
        self.verdict: Verdict | None = None
        self._since_look = 0

    def takes(self, key: str) -> bool:
        """Tell whether the requests of this key are its own; always the same for a key.

        Where the share is raised, the keys that it had stay with it.
        """
        return self.verdict is None and position_of(key, str(self.version)) < self.plan.share

    def record_error(self, arm: Arm) -> Verdict | None:
        """Take in a request that ``arm`` failed on; return why the canary must end, once."""
        if self.verdict is not None:
            return None
        self.windows[arm].add_error()
        return self._judge() if arm == "canary" else None

    def record_answer(self, arm: Arm, latency_s: float | None) -> Verdict | None:
        """Take in a request that ``arm`` answered; return why the canary must end, once.

        Args:
            arm: Who answered it.
            latency_s: From the queue to the end of its execution, s; None for requests that do not
                compare: of several images, or of low priority.
        """
        if self.verdict is not None:
            return None
        self.windows[arm].add_answer(latency_s)
        self._since_look += arm == "canary"
        return self._judge() if self._since_look >= _LOOK_EVERY else None

    def _judge(self) -> Verdict | None:
        self._since_look = 0
        self.verdict = judge(self.plan, self.windows["canary"], self.windows["stable"])
        return self.verdict


def judge(plan: CanaryPlan, canary: RequestWindow, stable: RequestWindow) -> Verdict | None:
    """Return why a canary must end; None where nothing speaks against it.

    Both are compared with the stable version meanwhile: under an overload both fail. Where all
    requests go to the canary, that has no errors and no times.
    """
    if len(canary) < plan.min_requests:
        return None
    if canary.error_rate - stable.error_rate > plan.max_error_rate:
        return Verdict(
            "error_rate",
            f"{canary.errors} of {len(canary)} requests failed, {canary.error_rate:.1%}, of the "
            f"stable version {stable.error_rate:.1%}; the limit is {plan.max_error_rate:.1%} more "
            "(max_error_rate)",
        )
    times_s, stable_times_s = canary.latencies_s(), stable.latencies_s()
    if min(len(times_s), len(stable_times_s)) < plan.min_requests:
        return None
    p95_s, stable_p95_s = p95(times_s), p95(stable_times_s)
    assert p95_s is not None, "there are times"
    assert stable_p95_s is not None, "there are times"
    if p95_s <= plan.max_latency_ratio * stable_p95_s or p95_s - stable_p95_s <= LATENCY_SLACK_S:
        return None
    return Verdict(
        "latency",
        f"p95 is {p95_s * 1000:.1f} ms, {p95_s / stable_p95_s:.1f} times the "
        f"{stable_p95_s * 1000:.1f} ms of the stable version; "
        f"the limit is {plan.max_latency_ratio:g} times (max_latency_ratio)",
    )
