"""Whether and when a call that failed is sent again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from app.client.errors import (
    ConnectionFailedError,
    KeraserveError,
    TemporaryError,
    UnexpectedAnswerError,
)

_FIRST_S = 0.1
_MOST_S = 5.0
"""Where the server does not say when: doubled from attempt to attempt, up to this."""

_MOST_DOUBLINGS = 10
"""Far beyond ``_MOST_S``: who repeats for an hour comes to powers of two that no float holds."""

_BUSY = frozenset({429, 503})
"""As load balancers say it, in words of their own."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often.

    Attributes:
        retries: Repetitions of one call, at most.
    """

    retries: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be counted.

        Raises:
            ValueError: Fewer than none.
        """
        if self.retries < 0:
            raise ValueError(f"retries is {self.retries}; 0 sends everything once")

    def wait_s(
        self,
        error: KeraserveError,
        *,
        failures: int,
        left_s: float,
        is_repeatable: bool,
        chance: float,
    ) -> float | None:
        """Return how long to wait before the call is sent again, s; None if it is not.

        Refusals that pass (429, 503) have done nothing and are repeated when the server says so,
        or later and later where it does not say, or says 0.
        A connection that failed is tried again where nothing was sent, or where the call may be
        done twice. Nothing is waited for that cannot come in time: who has to wait longer than
        ``left_s`` is better told at once.

        Args:
            error: What became of the call.
            failures: How often it has failed before.
            left_s: Until the timeout, s.
            is_repeatable: Whether doing it twice is as good as once.
            chance: 0..1, drawn anew each time: spreads those who failed together.
        """
        if failures >= self.retries or not _is_worth_repeating(error, is_repeatable):
            return None
        backoff_s = min(_FIRST_S * 2 ** min(failures, _MOST_DOUBLINGS), _MOST_S)
        # "At once" is no answer of somebody who is busy: repeated at once, it would be a storm.
        wait_s = getattr(error, "retry_after_s", None) or backoff_s * (0.5 + chance / 2)
        return wait_s if wait_s < left_s else None


def _is_worth_repeating(error: KeraserveError, is_repeatable: bool) -> bool:
    if isinstance(error, ConnectionFailedError):
        return is_repeatable or not error.may_have_arrived
    if isinstance(error, UnexpectedAnswerError):
        return is_repeatable and error.status in _BUSY
    return isinstance(error, TemporaryError)
