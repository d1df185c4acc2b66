"""What canaries and shadows export."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.metrics import LATENCY_BUCKETS_S
from app.rollout.canary import EndCause
from app.types import ServableId

ShadowOutcome = Literal["agreed", "disagreed", "skipped", "failed"]

DIFFERENCE_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class RolloutMetrics:
    """Counts of all models; label sets are closed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything."""
        servable = ("model", "version")
        self._canary_share = Gauge(
            "keraserve_canary_share_ratio",
            "Share of the requests without a version that a canary is given.",
            servable,
            registry=registry,
        )
        self._canary_requests = Counter(
            "keraserve_canary_requests_total",
            "Requests that a canary was given, by how it did: ok, or error.",
            (*servable, "outcome"),
            registry=registry,
        )
        self._canary_ends = Counter(
            "keraserve_canary_ends_total",
            "Canaries that were ended for what they did.",
            (*servable, "cause"),
            registry=registry,
        )
        self._shadow_images = Counter(
            "keraserve_shadow_images_total",
            "Images given to a shadow; agreed: its first label was that of the answer.",
            (*servable, "outcome"),
            registry=registry,
        )
        self._shadow_difference = Histogram(
            "keraserve_shadow_score_difference",
            "Absolute difference between the first scores of answer and shadow.",
            servable,
            registry=registry,
            buckets=DIFFERENCE_BUCKETS,
        )
        self._shadow_duration = Histogram(
            "keraserve_shadow_duration_seconds",
            "Of an image in a shadow, from its queue to the end of its execution.",
            servable,
            registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )

    def canary_share(self, servable_id: ServableId, share: float) -> None:
        """Show which share a canary is given; 0 where it is none any more."""
        self._canary_share.labels(servable_id.name, servable_id.version).set(share)

    def canary_request(self, servable_id: ServableId, *, is_ok: bool) -> None:
        """Count one request of a canary."""
        outcome = "ok" if is_ok else "error"
        self._canary_requests.labels(servable_id.name, servable_id.version, outcome).inc()

    def canary_ended(self, servable_id: ServableId, cause: EndCause) -> None:
        """Count a canary that was ended."""
        self._canary_ends.labels(servable_id.name, servable_id.version, cause).inc()

    def shadow_image(self, servable_id: ServableId, outcome: ShadowOutcome) -> None:
        """Count one image of a shadow."""
        self._shadow_images.labels(servable_id.name, servable_id.version, outcome).inc()

    def shadow_compared(
        self, servable_id: ServableId, difference: float, duration_s: float
    ) -> None:
        """Take in one comparison."""
        labels = (servable_id.name, str(servable_id.version))
        self._shadow_difference.labels(*labels).observe(difference)
        self._shadow_duration.labels(*labels).observe(duration_s)
