"""From what was measured to settings, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from app.runtime.policy import EnginePolicy
from app.tuning.goals import Goal, useful_sizes
from app.tuning.records import ENOUGH_ROUNDS, SCOUTING, Candidate, Curve, Point

_CLEARLY = 1.03
"""Better by this much: less is not worth a setting that somebody has to keep."""

_CLEARLY_AT_ONE_GLANCE = 1.25
"""Where two did not take turns: what else happened on the machine may have hit one alone."""

_MOST_ROUNDS = 0.75
"""Of the rounds, in which it must have been better at all."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the server.

    Attributes:
        name: As ``Settings`` has it: ``max_batch_size``.
        value: What it should be, as it is written in an environment.
        present: What it is.
    """

    name: str
    value: str
    present: str

    @property
    def is_changed(self) -> bool:
        """Whether it should be another one."""
        return self.value != self.present


@dataclass(frozen=True, slots=True)
class Gain:
    """A figure with the settings of now, and with those that are recommended.

    Attributes:
        name: What it is, with its unit.
        present: Now.
        recommended: Then.
        ratio: How many times as much, by round where they took turns.
    """

    name: str
    present: float
    recommended: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which settings to use, and why.

    Attributes:
        candidate: What should execute.
        point: At the largest batch size it should have.
        settings: All that were looked at, changed or not.
        reason: One sentence.
        present: What executes now; None where that could not be measured.
        gains: Against what is set now; empty without ``present``.
    """

    candidate: Candidate
    point: Point
    settings: tuple[Setting, ...]
    reason: str
    present: Candidate | None
    gains: tuple[Gain, ...]

    @property
    def is_present(self) -> bool:
        """Whether everything is fine as it is."""
        return not any(setting.is_changed for setting in self.settings)


def recommend(
    curves: Sequence[Curve], present: Sequence[Candidate], policy: EnginePolicy, goal: Goal
) -> Recommendation:
    """Choose.

    Args:
        curves: Of all that could be measured, at least one, each with a point.
        present: What a server tries now, in its order.
        policy: What is set now.
        goal: What is wanted.
    """
    by_candidate = {curve.candidate: curve for curve in curves}
    now = next((by_candidate[entry] for entry in present if entry in by_candidate), None)
    chosen = _choose(curves, now, policy, goal)
    point = goal.best_point(chosen, policy.allowed_batch_sizes[-1])
    settings = _settings(chosen, point, now, policy, goal)
    gains = () if now is None else _gains(now, policy.allowed_batch_sizes[-1], chosen, point)
    is_changed = any(setting.is_changed for setting in settings)
    reason = _reason(goal, chosen, point, is_changed=is_changed)
    return Recommendation(
        chosen.candidate,
        point,
        settings,
        reason,
        None if now is None else now.candidate,
        gains,
    )


def present_point(curve: Curve, largest: int) -> Point:
    """Return the point of the largest batch size that is set now, or the nearest below."""
    points = curve.points
    return next((p for p in reversed(points) if p.batch_size <= largest), points[0])


def _choose(curves: Sequence[Curve], now: Curve | None, policy: EnginePolicy, goal: Goal) -> Curve:
    """Return what is served now, or the simplest that nothing is clearly better than."""
    certain = [curve for curve in curves if curve.rounds >= ENOUGH_ROUNDS] or list(curves)
    best = max(certain, key=goal.score)
    order = [*([now] if now is not None else []), *certain]
    largest = policy.allowed_batch_sizes[-1]
    return next(
        curve for curve in order if curve is best or not _is_better(best, curve, goal, largest)
    )


def _is_better(best: Curve, other: Curve, goal: Goal, present_size: int) -> bool:
    if (goal.score(other) < 0) != (goal.score(best) < 0):
        return True  # only one of them keeps to the target
    if goal.name == "latency" or goal.score(best) < 0:
        ratios = _by_round(_lone_s(other), _lone_s(best))
    else:
        sizes = [goal.best_point(c, present_size).batch_size for c in (best, other)]
        ratios = _by_round(best.images_per_s(sizes[0]), other.images_per_s(sizes[1]))
    if len(ratios) < ENOUGH_ROUNDS:
        return median(ratios) >= _CLEARLY_AT_ONE_GLANCE
    wins = sum(ratio > 1 for ratio in ratios)
    return median(ratios) >= _CLEARLY and wins >= _MOST_ROUNDS * len(ratios)


def _lone_s(curve: Curve) -> dict[int, float]:
    return curve.p50_s(curve.points[0].batch_size)


def _by_round(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    """Return the ratios of the rounds that both have; else of the medians, as the only one."""
    both = [turn for turn in over if turn in under and turn != SCOUTING]
    if both:
        return [over[turn] / under[turn] for turn in both]
    return [median(over.values()) / median(under.values())]


def _settings(
    chosen: Curve, point: Point, now: Curve | None, policy: EnginePolicy, goal: Goal
) -> tuple[Setting, ...]:
    engine, precision = chosen.candidate.engine, chosen.candidate.precision
    is_same = now is not None and (engine, precision) == (
        now.candidate.engine,
        now.candidate.precision,
    )
    present_size = policy.allowed_batch_sizes[-1]
    is_last = point.batch_size == chosen.points[-1].batch_size
    largest = point.batch_size
    if goal.target_s is None and is_last:
        # That there was no time for larger batches is no reason to forbid them.
        largest = max(largest, present_size)
    if largest == present_size:
        wanted = policy.allowed_batch_sizes
    else:
        wanted = useful_sizes(chosen.points, largest)
    # What `auto` comes to by itself stays `auto`.
    return (
        Setting("engine", policy.engine if is_same else engine, policy.engine),
        Setting("precision", policy.precision if is_same else precision, policy.precision),
        Setting("inference_threads", str(chosen.candidate.threads), str(policy.threads)),
        Setting("max_batch_size", str(largest), str(present_size)),
        Setting("allowed_batch_sizes", _joined(wanted), _joined(policy.allowed_batch_sizes)),
    )


def _joined(sizes: Sequence[int]) -> str:
    """Return sizes as the setting has them; nothing for those it has by itself."""
    return "" if tuple(sizes) == _powers_of_two(sizes[-1]) else ",".join(map(str, sizes))


def _powers_of_two(largest: int) -> tuple[int, ...]:
    powers = (1 << power for power in range(largest.bit_length()))
    return (*(power for power in powers if power < largest), largest)


def _gains(now: Curve, present_size: int, chosen: Curve, point: Point) -> tuple[Gain, ...]:
    before = present_point(now, present_size)
    sizes = before.batch_size, point.batch_size
    return (
        Gain(
            "images/s",
            before.images_per_s,
            point.images_per_s,
            median(_by_round(chosen.images_per_s(sizes[1]), now.images_per_s(sizes[0]))),
        ),
        Gain(
            "ms for a lone image",
            now.points[0].p50_s * 1000,
            chosen.points[0].p50_s * 1000,
            median(_by_round(_lone_s(chosen), _lone_s(now))),
        ),
        Gain(
            "ms that a request waits at most",
            before.longest_wait_s * 1000,
            point.longest_wait_s * 1000,
            point.longest_wait_s / before.longest_wait_s,
        ),
    )


def _reason(goal: Goal, chosen: Curve, point: Point, *, is_changed: bool) -> str:
    if goal.target_s is not None and not goal.within_target(chosen.points):
        first = chosen.points[0]
        return (
            f"Nothing measured keeps a request under {goal.target_s * 1000:g} ms: a lone image may "
            f"wait for another one, {first.longest_wait_s * 1000:.3g} ms; this is the fastest."
        )
    if not is_changed:
        return (
            "Nothing measured serves this goal better than what is set now by more than the "
            "measurements differ among themselves."
        )
    wait = (
        "a request waits at most for the running batch and its own, "
        f"{point.p50_s * 1000:.3g} ms (p50) and {point.p99_s * 1000:.3g} ms (p99)"
    )
    if goal.target_s is not None:
        return (
            f"Of what keeps a request under {goal.target_s * 1000:g} ms this executes most images: "
            f"in batches of up to {point.batch_size}, {wait}."
        )
    if goal.name == "latency":
        return (
            f"It answers a lone image in {chosen.points[0].p50_s * 1000:.3g} ms; in batches of up "
            f"to {point.batch_size}, which bring most of its throughput, {wait}."
        )
    if goal.name == "throughput":
        return (
            f"It executes most images, {point.images_per_s:,.0f} per second in batches of "
            f"{point.batch_size}; {wait}."
        )
    is_last = point.batch_size == chosen.points[-1].batch_size
    more = "" if is_last else ", and larger ones bring hardly more"
    return (
        f"It executes {point.images_per_s:,.0f} images per second in batches of "
        f"{point.batch_size}{more}; {wait}.{_why_no_smaller(chosen, point)}"
    )


def _why_no_smaller(chosen: Curve, point: Point) -> str:
    smaller = [each.batch_size for each in chosen.points if each.batch_size < point.batch_size]
    if not smaller or not smaller[-1] < chosen.shared_from <= point.batch_size:
        return ""
    return (
        f" Batches of fewer than {chosen.shared_from} images, a server executes one after the "
        "other instead of two at a time."
    )
