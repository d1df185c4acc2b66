"""Who asks, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """Who asks, and how long they wait.

    Attributes:
        by: Name of the caller, for the log.
        request_id: Of the request, for the log.
        wait_s: How long to wait for what was asked for; it goes on afterwards.
    """

    by: str
    request_id: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order.

    Attributes:
        has_changed: Whether it asked for something new; an order that is repeated does not.
        is_settled: Whether the service has brought itself in line with it; else it still loads.
    """

    has_changed: bool
    is_settled: bool
