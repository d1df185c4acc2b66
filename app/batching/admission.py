"""When an image accepted now would be answered: pure functions over what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

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
        devices_free_in_s: When each device will have executed all that it was given, s from now.
        interactive: Interactive tasks waiting.
        bulk: Bulk tasks waiting.
        company_until_s: How long a batch that is not full will still wait for company, s from now.
        delivery_s: From the end of an execution until its answers are given.
    """

    devices_free_in_s: tuple[float, ...] = (0.0,)
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
    free_in_s = backlog.devices_free_in_s
    if executed < policy.max_batch_size:
        free_in_s = tuple([max(each_s, backlog.company_until_s) for each_s in free_in_s])
    return executed_in_s(policy, time, executed, free_in_s) + backlog.delivery_s


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


def executed_in_s(
    policy: BatchPolicy, time: ExecutionTime, images: int, free_in_s: Sequence[float] = (0.0,)
) -> float:
    """Return when the last of ``images`` will have been executed, s from now.

    Args:
        policy: Forms the batches.
        time: Expects what each takes.
        images: As many, one after the other.
        free_in_s: When each device can begin, s from now; a batch goes to the first that can.
    """
    largest = policy.max_batch_size
    full, rest = divmod(images, largest)
    full_s = time.expected_s(largest)
    rest_s = []
    while rest:
        size = policy.size_to_take(rest)
        rest_s.append(time.expected_s(policy.padded_size(size)))
        rest -= size
    if len(free_in_s) == 1:
        return free_in_s[0] + full * full_s + sum(rest_s)
    # Devices have work for two batches at most, and are level after as many for each; of what
    # comes then, all get the same.
    rounds = max(0, full // len(free_in_s) - 2)
    ends_s = [each_s + rounds * full_s for each_s in free_in_s]
    heapify(ends_s)
    end_s = 0.0
    for batch_s in [full_s] * (full - rounds * len(ends_s)) + rest_s:
        end_s = max(end_s, ends_s[0] + batch_s)
        heapreplace(ends_s, ends_s[0] + batch_s)
    return end_s


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
