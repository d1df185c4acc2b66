"""Who has asked for more than their share: limits by address and by key."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from enum import StrEnum
from typing import TypeAlias

from app.access.allowance import Allowance, LimitPolicy
from app.access.caller import Caller
from app.errors import RateLimitedError
from app.types import Clock

MOST_SUBJECTS = 32_768
"""Callers without a request under way that are remembered, of either kind: about 10 MB.

Who has more addresses than this gets round the limit by address; no table would stop them.
"""

# Looked at with each caller that is new: more than one, so that the table shrinks.
_FORGOTTEN_AT_ONCE = 2
# When a place among those under way becomes free is not known: requests take a fraction of it.
_CONCURRENCY_RETRY_S = 1.0

Header: TypeAlias = tuple[bytes, bytes]


class SubjectKind(StrEnum):
    """By what callers are told apart."""

    ADDRESS = "address"
    KEY = "key"


class LimitKind(StrEnum):
    """What of them is limited."""

    RATE = "rate"
    CONCURRENCY = "concurrency"


class SubjectTable:
    """What each caller of one kind has left.

    Bound: callers with requests under way, and ``most`` others. Those whose bucket is full again
    are forgotten, which changes nothing for them; where there are more, those that have asked for
    nothing longest.
    Loop: used on one event loop.
    """

    def __init__(
        self, kind: SubjectKind, policy: LimitPolicy, clock: Clock, most: int = MOST_SUBJECTS
    ) -> None:
        """Know nobody yet."""
        self.kind = kind
        self.policy = policy
        self._clock = clock
        self._most = most
        self._busy: dict[str, Allowance] = {}
        self._idle: OrderedDict[str, Allowance] = OrderedDict()  # by when they ended, oldest first

    def __len__(self) -> int:
        """Count those that are remembered."""
        return len(self._busy) + len(self._idle)

    def enter(self, name: str) -> tuple[Allowance, RateLimitedError | None]:
        """Count a request of a caller.

        Returns:
            What they have, and None: ``leave`` has to follow. Or why it is one too many: it was
            not counted then.
        """
        now_s = self._clock()
        allowance = self._busy.get(name)
        if allowance is None:
            allowance = self._idle.pop(name, None)
            if allowance is None:
                self._forget(now_s)
                allowance = Allowance(self.policy, now_s)
        refusal = self._refusal(name, allowance, now_s)
        if refusal is None:
            allowance.under_way += 1
            self._busy[name] = allowance
        elif not allowance.under_way:
            self._keep(name, allowance)
        return allowance, refusal

    def leave(self, name: str) -> None:
        """Take note that a request of a caller has ended."""
        allowance = self._busy[name]
        allowance.under_way -= 1
        if not allowance.under_way:
            del self._busy[name]
            self._keep(name, allowance)

    def now_s(self) -> float:
        """Return the time by which all is counted."""
        return self._clock()

    def _refusal(self, name: str, allowance: Allowance, now_s: float) -> RateLimitedError | None:
        policy = self.policy
        who = f"The key {name}" if self.kind is SubjectKind.KEY else "This address"
        setting = f"KERASERVE_{self.kind.upper()}"
        if policy.max_concurrency and allowance.under_way >= policy.max_concurrency:
            return RateLimitedError(
                f"{who} has {allowance.under_way:,} requests under way; the limit is "
                f"{policy.max_concurrency:,} ({setting}_MAX_CONCURRENCY).",
                limit=LimitKind.CONCURRENCY,
                retry_after_s=_CONCURRENCY_RETRY_S,
            )
        wait_s = allowance.take(now_s)
        if not wait_s:
            return None
        return RateLimitedError(
            f"{who} has asked for more than {policy.rate_per_s:g} requests per second, and more "
            f"than {policy.quota:,} at once ({setting}_RATE_PER_S, {setting}_BURST); the next one "
            f"may come in {wait_s:.3g} s.",
            limit=LimitKind.RATE,
            retry_after_s=wait_s,
        )

    def _keep(self, name: str, allowance: Allowance) -> None:
        if not self.policy.rate_per_s:
            return  # nothing of theirs is left
        self._idle[name] = allowance
        if len(self._idle) > self._most:
            self._idle.popitem(last=False)

    def _forget(self, now_s: float) -> None:
        for _ in range(min(_FORGOTTEN_AT_ONCE, len(self._idle))):
            name = next(iter(self._idle))
            if self._idle[name].full_in_s(now_s) > 0:
                return  # those behind it have ended later
            del self._idle[name]


class AccessLimits:
    """The limits that are set.

    Attributes:
        addresses: By address; None without limits.
        keys: By key; None without limits.
    """

    def __init__(
        self, addresses: LimitPolicy, keys: LimitPolicy, clock: Clock = time.monotonic
    ) -> None:
        """Make the tables; ``clock`` is monotonic, s."""
        self.addresses = _table(SubjectKind.ADDRESS, addresses, clock)
        self.keys = _table(SubjectKind.KEY, keys, clock)


def _table(kind: SubjectKind, policy: LimitPolicy, clock: Clock) -> SubjectTable | None:
    return SubjectTable(kind, policy, clock) if policy.limits_anything else None


class Visit:
    """One request, from when it is counted until it has ended.

    Whatever asks again on another way of the same request finds it counted. ``end`` gives back
    what it holds, once, however often it is called.

    Attributes:
        caller: Whose it is, once that is known.
        refused: By which table, and for which limit; None if by none.
    """

    __slots__ = ("_held", "_limits", "_seen", "caller", "refused")

    def __init__(self, limits: AccessLimits) -> None:
        """Count nothing yet."""
        self._limits = limits
        self._held: list[tuple[SubjectTable, str]] = []
        self._seen: dict[SubjectTable, Allowance] = {}
        self.caller: Caller | None = None
        self.refused: tuple[SubjectKind, LimitKind] | None = None

    @property
    def needs_address(self) -> bool:
        """Whether there is a limit by address that it is not counted for."""
        table = self._limits.addresses
        return table is not None and not self._holds(table)

    def enter_address(self, address: str) -> None:
        """Count it for an address.

        Raises:
            RateLimitedError: It is one too many.
        """
        self._enter(self._limits.addresses, address)

    def enter_key(self, name: str) -> None:
        """Count it for a key.

        Raises:
            RateLimitedError: It is one too many.
        """
        self._enter(self._limits.keys, name)

    def end(self) -> None:
        """Give back what it holds."""
        held, self._held = self._held, []
        for table, name in held:
            table.leave(name)

    def headers(self) -> list[Header]:
        """Return what its answer tells of the rates, in the draft's form and in the older one.

        ``RateLimit-Policy`` and ``RateLimit`` are of draft-ietf-httpapi-ratelimit-headers-11;
        ``RateLimit-Limit``, ``-Remaining`` and ``-Reset``, of those until 06, are what most clients
        know. These have room for one limit: the one of which least is left.
        """
        policies: list[str] = []
        states: list[str] = []
        tightest: tuple[int, int, int] | None = None
        for table, allowance in self._seen.items():
            policy = table.policy
            if not policy.rate_per_s:
                continue
            left, reset_s = _state_of(policy, allowance, table.now_s())
            policies.append(f'"{table.kind}";q={policy.quota};w={math.ceil(policy.window_s)}')
            states.append(f'"{table.kind}";r={left};t={reset_s}')
            state = (left, policy.quota, reset_s)
            tightest = state if tightest is None else min(tightest, state)
        if tightest is None:
            return []
        left, quota, reset_s = tightest
        return [
            (b"ratelimit-policy", ", ".join(policies).encode("ascii")),
            (b"ratelimit", ", ".join(states).encode("ascii")),
            (b"ratelimit-limit", b"%d" % quota),
            (b"ratelimit-remaining", b"%d" % left),
            (b"ratelimit-reset", b"%d" % reset_s),
        ]

    def _holds(self, table: SubjectTable) -> bool:
        return any(held is table for held, _ in self._held)

    def _enter(self, table: SubjectTable | None, name: str) -> None:
        if table is None or self._holds(table):
            return
        allowance, refusal = table.enter(name)
        self._seen[table] = allowance
        if refusal is not None:
            self.refused = (table.kind, LimitKind(refusal.limit))
            raise refusal
        self.refused = None
        self._held.append((table, name))


def _state_of(policy: LimitPolicy, allowance: Allowance, now_s: float) -> tuple[int, int]:
    """Return how many requests are left, and in how many seconds there are more.

    With some left, all of them; with none left, the next one, as ``Retry-After`` has it.
    """
    tokens = allowance.tokens(now_s)
    left = int(tokens)
    wanted = policy.quota if left else 1
    return left, math.ceil((wanted - tokens) / policy.rate_per_s)
