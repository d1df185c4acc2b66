"""Prometheus metrics of what was not computed again."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from app.inference.shared_task import Reuse
from app.types import ServableId

RESULTS: tuple[Reuse, ...] = ("hit", "coalesced", "miss")


class ReuseMetrics:
    """Counts of all versions; implements ``CacheObserver``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything with ``registry``."""
        self._images = Counter(
            "keraserve_cache_images_total",
            "Accepted images by how they came to their scores; none where nothing is reused.",
            ("model", "version", "result"),
            registry=registry,
        )
        self._bytes = Gauge(
            "keraserve_cache_bytes", "What kept results take, all versions.", registry=registry
        )
        self._entries = Gauge(
            "keraserve_cache_entries", "Kept results, all versions.", registry=registry
        )
        self._evictions = Counter(
            "keraserve_cache_evictions_total",
            "Kept results that made room for others.",
            registry=registry,
        )

    def for_servable(self, servable_id: ServableId) -> Callable[[Reuse], None]:
        """Return what counts the images of one version; labels are looked up once, here."""
        labels = (servable_id.name, str(servable_id.version))
        counters = {result: self._images.labels(*labels, result) for result in RESULTS}

        def count(reuse: Reuse) -> None:
            counters[reuse].inc()

        return count

    def cache_changed(self, *, size_bytes: int, entries: int) -> None:
        """Show what the cache holds."""
        self._bytes.set(size_bytes)
        self._entries.set(entries)

    def cache_evicted(self, entries: int) -> None:
        """Count what left to make room."""
        self._evictions.inc(entries)
