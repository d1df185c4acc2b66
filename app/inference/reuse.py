"""Which versions reuse results: joins the cache, the metrics and the schedulers of all versions."""

from __future__ import annotations

from collections.abc import Iterable

from app.batching.batcher import DynamicBatcher
from app.inference.coalescing import ReusingScheduler
from app.inference.policy import ReusePolicy
from app.inference.result_cache import ResultCache
from app.inference.reuse_metrics import ReuseMetrics
from app.inference.shared_task import Reuse
from app.types import ServableId

_LEAST_REUSE_FIRST: tuple[Reuse, ...] = ("miss", "coalesced", "hit")


class ResultReuse:
    """Gives each version what schedules its images once, where the policy asks for it.

    Loop: everything runs on one event loop.
    """

    def __init__(self, policy: ReusePolicy, metrics: ReuseMetrics) -> None:
        """Build the cache that all versions share, where there is one."""
        self._policy = policy
        self._metrics = metrics
        self._cache = ResultCache(policy.cache_bytes, metrics) if policy.cache_bytes else None

    def open(self, servable_id: ServableId, batcher: DynamicBatcher) -> ReusingScheduler | None:
        """Return what stands before the batcher of a new version; None where nothing is reused.

        Two versions never meet: each has flights and entries of its own.
        """
        if not self._policy.is_on:
            return None
        return ReusingScheduler(
            batcher,
            coalesces=self._policy.coalesces,
            cache=None if self._cache is None else self._cache.section(),
            count=self._metrics.for_servable(servable_id),
        )


def least_reuse(each: Iterable[Reuse | None]) -> Reuse | None:
    """Return what is said of several images of one request; None where none was answered.

    ``miss`` where any was executed for this request, ``hit`` where all were kept from before.
    """
    found = set(each)
    return next((reuse for reuse in _LEAST_REUSE_FIRST if reuse in found), None)
