"""What one run of the load generator found."""

from __future__ import annotations

from dataclasses import dataclass

from app.load.recorder import LoadResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(LoadResult):
    """One server under one load, once.

    Attributes:
        clients: Clients in the closed loop; 0 in an open loop.
        server_cores: CPU seconds per second of the server: all threads, all its child processes.
        event_loop_cores: The part of it in the main thread of its first process: HTTP and whatever
            else the event loop does itself; NaN where unknown.
        generator_cores: The same of the load generator; near 1 it would be the bottleneck.
        other_cores: The same of everything else on the machine; NaN where unknown.
    """

    clients: int
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
        """Answers other than 200, and requests without an answer."""
        return sum(count for outcome, count in self.outcomes.items() if outcome != "200")

    def _per_image_ms(self, cores: float) -> float:
        return cores / self.images_per_s * 1e3 if self.images_per_s else float("nan")
