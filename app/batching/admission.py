"""When an image accepted now would be answered: pure functions over what waits."""

from __future__ import annotations

from dataclasses import dataclass

from app.batching.execution_time import ExecutionTime
from app.batching.policy import BatchPolicy
from app.types import Priority

HOPELESS_SHARE = 0.75
"""An image is left out of a batch if its deadline passes before this share of the time until the
batch's expected end: executions vary, and one that could still be answered must not be dropped."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What stands between a new image and its answer.

    Attributes:
        device_free_in_s: When the device will have executed all that it was given, s from now.
        interactive: Interactive tasks waiting.
        bulk: Bulk tasks waiting.
        company_until_s: How long a batch that is not full will still wait for company, s from now.
        delivery_s: From the end of an execution until its answers are given.
    """

    device_free_in_s: float = 0.0
    interactive: int = 0
    bulk: int = 0
    company_until_s: float = 0.0
    delivery_s: float = 0.0


def answered_in_s(
    policy: BatchPolicy,
    time: ExecutionTime,
    backlog: Backlog,
    *,
    count: int = 1,
    priority: Priority = "interactive",
) -> float:
    """Return when the last of ``count`` new images would be answered, s from now.

    Nothing that comes later is foreseen: interactive images that come meanwhile go before bulk.
    """
    executed = _executed_until(policy, backlog, count, priority)
    begins_in_s = backlog.device_free_in_s
    if executed < policy.max_batch_size:
        begins_in_s = max(begins_in_s, backlog.company_until_s)
    return begins_in_s + executed_in_s(policy, time, executed) + backlog.delivery_s


def retry_in_s(expected_s: float, own_s: float, within_s: float) -> float:
    """Return after what time a request that is late now would be accepted, s.

    Work is done second by second: a backlog that is too long by so much is short enough after as
    much. Where even an idle device is too slow, it is when the device will be idle: then somebody
    is always accepted.

    Args:
        expected_s: When it would be answered, s from now.
        own_s: The part of it that its own images take.
        within_s: When it has to be answered, s from now.
    """
    return expected_s - max(own_s, within_s)


def executed_in_s(policy: BatchPolicy, time: ExecutionTime, images: int) -> float:
    """Return how long the device needs for ``images``, in the batches that the policy forms, s."""
    largest = policy.max_batch_size
    full, rest = divmod(images, largest)
    total_s = full * time.expected_s(largest)
    while rest:
        size = policy.size_to_take(rest)
        total_s += time.expected_s(policy.padded_size(size))
        rest -= size
    return total_s


def _executed_until(policy: BatchPolicy, backlog: Backlog, count: int, priority: Priority) -> int:
    """Return how many images are executed until the last new one is, itself included.

    As ``TaskQueue.take`` does it: interactive first, one place of each batch for bulk, and what is
    left of the last batch is filled with bulk.
    """
    largest, interactive, bulk = policy.max_batch_size, backlog.interactive, backlog.bulk
    others = largest - 1  # places of a batch beside the one for bulk
    if priority == "bulk":
        last = bulk + count
        one_each = others > 0 and last <= interactive // others
        until = last * largest if one_each else interactive + last
    else:
        until = interactive + count
        if others > 0:
            until += min(bulk, -(-until // others))
    batches = -(-until // largest)
    return min(batches * largest, interactive + bulk + count)
