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
"""Callers without a request under way that are remembered, of either kind: about 8 MB.

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

    Attributes:
        kind: By what they are told apart.
        policy: What each of them may ask.
        policy_text: The same, as an item of ``RateLimit-Policy``.

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
        self.policy_text = b'"%s";q=%d;w=%d' % (
            kind.encode("ascii"),
            policy.quota,
            math.ceil(policy.window_s),
        )
        self._state_text = b'"%s";r=%%d;t=%%d' % kind.encode("ascii")
        self._setting = f"KERASERVE_{kind.upper()}"
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

    def state(self, allowance: Allowance) -> tuple[int, int, bytes]:
        """Return how many requests of its rate a caller has left.

        Returns:
            They, in how many seconds there are more, and both as an item of ``RateLimit``. With
            some left, more is all; with none left it is the next one, as ``Retry-After`` has it.
        """
        tokens = allowance.tokens(self._clock())
        left = int(tokens)
        wanted = self.policy.quota if left else 1
        reset_s = math.ceil((wanted - tokens) / self.policy.rate_per_s)
        return left, reset_s, self._state_text % (left, reset_s)

    def _refusal(self, name: str, allowance: Allowance, now_s: float) -> RateLimitedError | None:
        policy = self.policy
        if policy.max_concurrency and allowance.under_way >= policy.max_concurrency:
            return RateLimitedError(
                f"{self._who(name)} has {allowance.under_way:,} requests under way; the limit is "
                f"{policy.max_concurrency:,} ({self._setting}_MAX_CONCURRENCY).",
                limit=LimitKind.CONCURRENCY,
                retry_after_s=_CONCURRENCY_RETRY_S,
            )
        wait_s = allowance.take(now_s)
        if not wait_s:
            return None
        return RateLimitedError(
            f"{self._who(name)} has asked for more than {policy.rate_per_s:g} requests per second, "
            f"and more than {policy.quota:,} at once ({self._setting}_RATE_PER_S, "
            f"{self._setting}_BURST); the next one may come in {wait_s:.3g} s.",
            limit=LimitKind.RATE,
            retry_after_s=wait_s,
        )

    def _who(self, name: str) -> str:
        return f"The key {name}" if self.kind is SubjectKind.KEY else "This address"

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
        self._held: list[tuple[SubjectTable, str]] = []  # of addresses and of keys, at most two
        self._seen: list[tuple[SubjectTable, Allowance]] = []
        self.caller: Caller | None = None
        self.refused: tuple[SubjectKind, LimitKind] | None = None

    @property
    def needs_address(self) -> bool:
        """Whether there is a limit by address that it is not counted for."""
        return self._limits.addresses is not None and not self._holds(self._limits.addresses)

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
        seen = [each for each in self._seen if each[0].policy.rate_per_s]
        if not seen:
            return []
        states = [table.state(allowance) for table, allowance in seen]
        nearest = 0 if len(seen) == 1 or states[0][0] <= states[1][0] else 1
        left, reset_s, _ = states[nearest]
        return [
            (b"ratelimit-policy", b", ".join([table.policy_text for table, _ in seen])),
            (b"ratelimit", b", ".join([text for _, _, text in states])),
            (b"ratelimit-limit", b"%d" % seen[nearest][0].policy.quota),
            (b"ratelimit-remaining", b"%d" % left),
            (b"ratelimit-reset", b"%d" % reset_s),
        ]

    def _holds(self, table: SubjectTable) -> bool:
        held = self._held
        return bool(held) and any(each is table for each, _ in held)

    def _enter(self, table: SubjectTable | None, name: str) -> None:
        if table is None or self._holds(table):
            return
        allowance, refusal = table.enter(name)
        if not any(seen is table for seen, _ in self._seen):  # refused before, on another way
            self._seen.append((table, allowance))
        if refusal is not None:
            self.refused = (table.kind, LimitKind(refusal.limit))
            raise refusal
        self.refused = None
        self._held.append((table, name))
