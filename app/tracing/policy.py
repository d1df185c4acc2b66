"""Where traces go, and of how many requests they are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TracingPolicy:
    """How requests are traced.

    Attributes:
        endpoint: URL of an OTLP/HTTP receiver for traces, its path included.
        sample_ratio: Share of the requests that are traced, 0..1, where their callers say nothing.
        follows_callers: Whether the ``sampled`` flag of a ``traceparent`` decides instead.
    """

    endpoint: str
    sample_ratio: float = 0.01
    follows_callers: bool = True
