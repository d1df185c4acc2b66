"""How much one caller may ask at a time: a bucket of tokens, and what is under way. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """What each of many callers may ask.

    Attributes:
        rate_per_s: Requests per second in the long run; 0: as many as they like.
        burst: Requests at once, after a while without any: the size of the bucket; 0: as many as a
            second brings, at least one.
        max_concurrency: Requests under way at one time; 0: as many as they like.
        quota: Tokens in a full bucket.
        window_s: Seconds in which an empty bucket is full again; 0 without a rate.
    """

    rate_per_s: float = 0.0
    burst: int = 0
    max_concurrency: int = 0
    quota: int = field(
        init=False, repr=False
    )  # worked out once: both are asked for with every request
    window_s: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what means nothing, and work out the rest."""
        if self.rate_per_s < 0 or self.burst < 0 or self.max_concurrency < 0:
            raise ValueError(f"{self} has a limit below 0")
        if self.burst and not self.rate_per_s:
            raise ValueError(f"a burst of {self.burst} needs a rate that it is the most of")
        quota = self.burst or max(1, math.ceil(self.rate_per_s))
        object.__setattr__(self, "quota", quota)
        window_s = quota / self.rate_per_s if self.rate_per_s else 0.0
        object.__setattr__(self, "window_s", window_s)

    @property
    def limits_anything(self) -> bool:
        """Whether there is any limit."""
        return bool(self.rate_per_s or self.max_concurrency)


class Allowance:
    """What one caller has left.

    A bucket of ``quota`` tokens fills by ``rate_per_s``; a request takes one. Tokens are counted
    when somebody asks, so that nothing runs for those who do not.

    Attributes:
        under_way: Their requests that have not ended.
    """

    __slots__ = ("_counted_s", "_policy", "_tokens", "under_way")

    def __init__(self, policy: LimitPolicy, now_s: float) -> None:
        """Begin with a full bucket; ``now_s`` is of the clock that all calls are given."""
        self._policy = policy
        self._tokens = float(policy.quota)
        self._counted_s = now_s
        self.under_way = 0

    def tokens(self, now_s: float) -> float:
        """Return what is in the bucket."""
        policy = self._policy
        filled = self._tokens + (now_s - self._counted_s) * policy.rate_per_s
        return filled if filled < policy.quota else float(policy.quota)

    def take(self, now_s: float) -> float:
        """Take a token, where there is a rate.

        Returns:
            0 if there was one; else in how many seconds there will be, and nothing was taken.
        """
        policy = self._policy
        if not policy.rate_per_s:
            return 0.0
        tokens = self.tokens(now_s)
        # A thousandth less than one is rounding: who comes when they were told is let in.
        if tokens < 0.999:
            return (1 - tokens) / policy.rate_per_s
        self._tokens = max(tokens - 1, 0.0)
        self._counted_s = now_s
        return 0.0

    def full_in_s(self, now_s: float) -> float:
        """Return in how many seconds the bucket is full; 0 without a rate."""
        policy = self._policy
        if not policy.rate_per_s:
            return 0.0
        return (policy.quota - self.tokens(now_s)) / policy.rate_per_s
