"""How lanes that share one device share what waits; functions over their state."""

from __future__ import annotations

from collections.abc import Sequence

from app.batching.lane import DeviceLane
from app.batching.policy import BatchPolicy


def least_to_join(joins_at: int, policy: BatchPolicy) -> int:
    """Return how many images another lane takes while one works.

    A batch of the largest size is never too small, however large a group wants them.
    """
    return min(joins_at, policy.max_batch_size)


def is_shared(joins_at: int, policy: BatchPolicy) -> bool:
    """Whether what waits is shared out; who is to wait for company waits for the largest batch."""
    return joins_at > 1 and not policy.batch_timeout_s


def share_of(
    lanes: Sequence[DeviceLane], waiting: int, now_s: float, joins_at: int, policy: BatchPolicy
) -> int:
    """Return how many of ``waiting`` images the next lane may take.

    Half of them where two share one device. Are both free: alone, one has its own share of it
    only, and takes 1.9 times as long with the other one idle. Does the other one work: half of
    them are executed in half of the time, and it finds enough to join; but where a full batch
    waits, the next one will soon. Figures are in ``benchmarks/README.md``.
    """
    if not is_shared(joins_at, policy):
        return waiting
    least = least_to_join(joins_at, policy)
    living = sum(not lane.has_died for lane in lanes)
    free = sum(lane.is_free for lane in lanes)
    begun = sum(lane.current is not None and lane.since_s == now_s for lane in lanes)
    if free and free + begun == living:  # they begin together, and have equal parts
        return -(-waiting // free) if waiting >= free * least else waiting
    if waiting >= policy.max_batch_size:
        return waiting
    return min(waiting, max(least, -(-waiting // max(1, living))))


def ready_at(lane: DeviceLane, joins_at: int, policy: BatchPolicy) -> int:
    """Return how many images make a batch that lies ready behind those that are executed.

    Of lanes that share a device, each is kept at work: a batch as large as the one before it lies
    ready, and needs no turn of the event loop, which may be long in coming.
    """
    newest = lane.newest
    if newest is None or not is_shared(joins_at, policy):
        return policy.max_batch_size
    return max(least_to_join(joins_at, policy), len(newest))
