"""Who is to answer one request."""

from __future__ import annotations

from dataclasses import dataclass

from app.inference.live import LiveServable
from app.rollout.canary import Arm, Canary


@dataclass(slots=True)  # not frozen: one is made for each request, and that takes the most time
class Choice:
    """Who is to answer one request.

    Attributes:
        live: The version that it is given.
        stable: Who answers where that one fails; set exactly for the requests of a canary.
        canary: The canary that is counted, where the model has one.
    """

    live: LiveServable
    stable: LiveServable | None = None
    canary: Canary | None = None

    @property
    def arm(self) -> Arm:
        """The side of the comparison that it belongs to."""
        return "stable" if self.stable is None else "canary"

    def __enter__(self) -> None:
        """Keep the versions that may answer while the block runs."""
        self.live.leases.take()
        if self.stable is not None:
            self.stable.leases.take()

    def __exit__(self, *_: object) -> None:
        """Let them go."""
        self.live.leases.give_back()
        if self.stable is not None:
            self.stable.leases.give_back()
