"""What one run of the load generator found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server under one load, once.

    Attributes:
        clients: Clients in the closed loop.
        seconds: Length of the window, without the warm-up.
        images_per_s: Answers with status 200 per second.
        p50_ms: Median from the request's first byte to the answer's last; p90 and p99 likewise.
        outcomes: Answers by status, and lost connections.
        server_cores: CPU seconds per second of the server, all its threads.
        event_loop_cores: The part of it in the main thread: HTTP and whatever else the event loop
            does itself; NaN where unknown.
        generator_cores: The same of the load generator; near 1 it would be the bottleneck.
        other_cores: The same of everything else on the machine; NaN where unknown.
    """

    clients: int
    seconds: float
    images_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    outcomes: dict[str, int]
    server_cores: float
    event_loop_cores: float
    generator_cores: float
    other_cores: float

    @property
    def cpu_ms_per_image(self) -> float:
        """CPU time that the server spends on one image."""
        return self._per_image_ms(self.server_cores)

    @property
    def event_loop_ms_per_image(self) -> float:
        """The part of it that the event loop spends."""
        return self._per_image_ms(self.event_loop_cores)

    @property
    def failed(self) -> int:
        """Answers other than 200, and lost connections."""
        return sum(count for outcome, count in self.outcomes.items() if outcome != "200")

    def _per_image_ms(self, cores: float) -> float:
        return cores / self.images_per_s * 1e3 if self.images_per_s else float("nan")
