"""Repeats a share of a model's images on another version, and compares the answers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from app.errors import ServingError
from app.inference.live import LiveServable
from app.inference.ranking import rank
from app.inference.records import Classification, Prediction
from app.inference.service import InferenceService
from app.registry.catalog import ModelCatalog
from app.registry.rollout_plan import ShadowPlan
from app.rollout.metrics import RolloutMetrics
from app.rollout.sharing import Share
from app.rollout.status import RolloutState, ShadowStatus
from app.types import ImageArray, ServableId

logger = logging.getLogger(__name__)

MAX_PENDING = 64
"""Images that one model's shadow may hold: a batch of the default size."""

MAX_PENDING_UPLOADS = 8
"""Of these as files, where shadow and answer take another input: such may have megabytes."""

SHADOW_TASK = "shadow"
"""Name of the task of one image, for those who count what is left over."""

_PATIENCE_S = 10.0
"""An image that a shadow has not classified by then is given up."""


@dataclass(slots=True, eq=False)
class _Comparison:
    """One shadow at work."""

    plan: ShadowPlan
    version: ServableId
    share: Share
    compared: int = 0
    agreed: int = 0
    difference: float = 0.0


class ShadowRunner:
    """Gives images that were answered to the shadow of their model as well.

    Loop: everything runs on one event loop; execution in the shadow's own batcher.
    Offer: images that the version which answers by default has answered, whoever asked for it.
    Priority: an image is skipped while others wait for the version that answered it, and while
        ``MAX_PENDING`` images are with the shadow: a shadow takes what is left of the device.
    Answer: what a shadow says is compared and thrown away; how it fails is counted.
    Bound: an image ends after ``_PATIENCE_S``.
    Stop: ``close`` gives up what is under way.
    """

    def __init__(
        self,
        catalog: ModelCatalog[LiveServable],
        service: InferenceService,
        metrics: RolloutMetrics,
    ) -> None:
        """Take what finds versions, what decodes, and where results are counted."""
        self._catalog = catalog
        self._service = service
        self._metrics = metrics
        self._at_work: dict[str, _Comparison] = {}
        self._pending: dict[str, set[asyncio.Task[None]]] = {}  # by model, whatever its plan

    def offer(self, live: LiveServable, upload: bytes, answer: Classification) -> None:
        """Take one answered image, if it belongs to the share.

        Args:
            live: The version that answered.
            upload: The image as it came.
            answer: What was answered.
        """
        found = self._find(live.id.name)
        if found is None:
            return
        comparison, shadow = found
        if not self._is_default(live) or not comparison.share.takes_next():
            return
        has_same_input = shadow.spec == live.spec
        pending = self._pending.setdefault(live.id.name, set())
        is_full = len(pending) >= (MAX_PENDING if has_same_input else MAX_PENDING_UPLOADS)
        if live.batcher.queue_size or is_full:
            self._metrics.shadow_image(shadow.id, "skipped")
            return
        image = answer.pixels if has_same_input else upload
        comparing = asyncio.create_task(
            self._compare(comparison, shadow, image, answer.predictions[0]), name=SHADOW_TASK
        )
        pending.add(comparing)
        comparing.add_done_callback(pending.discard)

    def _is_default(self, live: LiveServable) -> bool:
        default = self._catalog.tables[live.id.name].default
        return default is not None and default.live is live

    def _find(self, name: str) -> tuple[_Comparison, LiveServable] | None:
        table = self._catalog.tables.get(name)
        plan = None if table is None else table.plan.shadow
        if table is None or plan is None or plan.share == 0:
            return None
        shadow = table.find_target(plan.target)
        if shadow is None:
            return None
        known = self._at_work.get(name)
        if known is None or known.plan != plan or known.version != shadow.id:
            known = self._at_work[name] = _Comparison(plan, shadow.id, Share(plan.share))
        return known, shadow

    async def _compare(
        self,
        comparison: _Comparison,
        shadow: LiveServable,
        image: ImageArray | bytes,
        answered: Prediction,
    ) -> None:
        deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
        try:
            async with asyncio.timeout_at(deadline_s):
                if isinstance(image, bytes):
                    image = (await self._service.decode(shadow, image)).pixels
                task = shadow.batcher.schedule(image, deadline_s=deadline_s, priority="bulk")
                result = await task.result()
        except (ServingError, TimeoutError) as error:
            self._metrics.shadow_image(shadow.id, "failed")
            logger.debug("shadow failed", extra={"servable": str(shadow.id), "error": str(error)})
            return
        (best,) = rank(result.scores, shadow.manifest.classes, 1)
        difference = abs(best.score - answered.score)
        has_agreed = best.label == answered.label  # not by number: classes may have moved
        comparison.compared += 1
        comparison.agreed += has_agreed
        comparison.difference += difference
        self._metrics.shadow_image(shadow.id, "agreed" if has_agreed else "disagreed")
        duration_s = result.queue_delay_s + result.execution_s
        self._metrics.shadow_compared(shadow.id, difference, duration_s)

    def status(self, name: str) -> ShadowStatus | None:
        """Return how the shadow of a model does; None where there is none."""
        table = self._catalog.tables.get(name)
        plan = None if table is None else table.plan.shadow
        if plan is None:
            return None
        found = self._find(name)
        if found is None:
            if plan.share == 0:
                return ShadowStatus(plan, RolloutState.OFF)
            missing = f"{plan.target} is no version that serves beside the default one"
            return ShadowStatus(plan, RolloutState.WAITING, reason=missing)
        comparison, shadow = found
        count = comparison.compared
        return ShadowStatus(
            plan=plan,
            state=RolloutState.ACTIVE,
            version=shadow.id.version,
            compared=count,
            agreement=comparison.agreed / count if count else None,
            mean_score_difference=comparison.difference / count if count else None,
        )

    async def close(self) -> None:
        """Give up what is under way."""
        pending = [task for tasks in self._pending.values() for task in tasks]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
