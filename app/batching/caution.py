"""How far expectations are to be trusted: learned from what became of those before. Pure."""

from __future__ import annotations

LEAST = 1.1
"""Executions of one size vary by a tenth on a machine that does nothing else."""

MOST = 4.0
"""Beyond, nothing can be expected; one pause of seconds must not count for more than this."""

MISSED = 1.5
"""How much later than believed an image would have been that nobody waited for in the end."""

SHORT_S = 0.02
"""Shorter expectations count as this: being 3 ms late after 1 ms tells nothing about half a second.
"""

_RISE = 0.3
_FALL = 0.02
"""Weight of a new ratio above and below the factor: in balance, one batch in sixteen is later."""


class Caution:
    """The factor by which answers may be later than expected; owned by the event loop.

    Under overload everybody who is accepted is accepted at the very limit: the queue is as long as
    the deadline allows. An expectation that is a tenth too low is then not a tenth of them late but
    all, while a shorter queue costs nothing as long as the device has its next batch. So the limit
    keeps a distance that follows how late answers really were: it rises fast, falls slowly (an
    expectile of about 0.94), and each batch counts once, since its images are late together.

    A pause of the machine takes its time whatever was expected. So lateness is a share of what was
    expected, but of no less than can be refused: three times 20 ms are not three times half a
    second, and nobody is refused whose answer is expected in a ``MOST``-th of the time he has.
    """

    __slots__ = ("_factor",)

    def __init__(self) -> None:
        """Trust."""
        self._factor = LEAST

    @property
    def factor(self) -> float:
        """What to multiply expectations with, ``LEAST`` to ``MOST``."""
        return self._factor

    def observe(
        self,
        expected_s: float,
        actual_s: float,
        *,
        within_s: float = 0.0,
        has_missed: bool = False,
    ) -> None:
        """Learn from one batch.

        Args:
            expected_s: From acceptance of its first image to the answer, as it was expected.
            actual_s: The same, as it was.
            within_s: The time that its first image had; 0 where it had no deadline.
            has_missed: Whether images were given up since the batch before, their deadline having
                passed: how late they would have been is not known.
        """
        expected_s = max(expected_s, SHORT_S)
        ratio = 1.0 + (actual_s - expected_s) / max(expected_s, within_s / MOST)
        if has_missed:
            ratio = max(ratio, MISSED * self._factor)
        ratio = min(max(ratio, LEAST), MOST)
        self._factor += (_RISE if ratio > self._factor else _FALL) * (ratio - self._factor)
