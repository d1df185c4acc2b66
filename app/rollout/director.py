"""Gives each request its version, and answers it from the stable one where a canary fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from app.errors import (
    DeadlineExceededError,
    DecodeQueueFullError,
    ExecutionError,
    ServerFaultError,
    ServingError,
    TooLateError,
)
from app.inference.counting import outcome_of
from app.inference.live import LiveServable
from app.inference.quick import OnEnd as OnImageEnd
from app.inference.quick import QuickImage
from app.inference.records import Classification, ClassifyOptions
from app.inference.service import InferenceService
from app.registry.catalog import ModelCatalog
from app.registry.rollout_plan import CanaryPlan
from app.registry.version_table import STABLE
from app.rollout.canary import Canary, Verdict
from app.rollout.choice import Choice
from app.rollout.metrics import RolloutMetrics
from app.rollout.shadow import ShadowRunner
from app.rollout.status import CanaryStatus, RolloutState, RolloutStatus
from app.types import ServableId

logger = logging.getLogger(__name__)

OnEnd = Callable[[str, int, str], Awaitable[None]]
"""Told the model, the version and the reason of a canary that has ended; keeps them in mind."""


class TrafficDirector:
    """Splits the traffic of the models by their plans.

    Loop: everything runs on one event loop.
    Choose: never waits. A request that names a version or a label gets it. Of the others, those
        whose key belongs to the share get the canary, while it is well.
    Answer: a request whose canary fails for the server's reasons, or takes more than half of the
        time that is left, is answered by the stable version; callers notice nothing but the time.
    Count: what tells of the version alone. Not counted are deadlines that a caller set, passed or
        not to be met, refusals of the decode pool, and requests that were under way when their
        canary was replaced; of requests with several images, or of low priority, only whether they
        failed.
    End: a canary that passes a threshold takes no request from that moment on.
    """

    def __init__(
        self,
        catalog: ModelCatalog[LiveServable],
        service: InferenceService,
        metrics: RolloutMetrics,
        on_end: OnEnd,
        *,
        allow_class_changes: bool = False,
    ) -> None:
        """Take the parts.

        Args:
            catalog: Knows the versions and the plans.
            service: Classifies.
            metrics: Where to count.
            on_end: Is told of canaries that have ended.
            allow_class_changes: Whether a canary may have other classes than the stable version.
        """
        self._catalog = catalog
        self._service = service
        self._metrics = metrics
        self._on_end = on_end
        self._allow_class_changes = allow_class_changes
        self._shadows = ShadowRunner(catalog, service, metrics)
        self._canaries: dict[str, Canary] = {}
        self._endings: set[asyncio.Task[None]] = set()

    def choose(self, name: str | None, version: int | None, label: str | None, key: str) -> Choice:
        """Find who answers a request.

        Args:
            name: The model; None for the default model.
            version: The version; None for the default version.
            label: A label instead of a version.
            key: What makes requests stick to their side: they get the same version again.

        Raises:
            MalformedRequestError: Both a version and a label are given.
            ServableNotFoundError: There is no such model, version or label.
            ServableNotReadyError: It is known, but not AVAILABLE.
        """
        stable = self._catalog.resolve(name, version, label)
        if version is not None or label is not None:
            return Choice(stable)
        model = stable.id.name
        plan = self._catalog.tables[model].plan.canary
        if plan is None or plan.share == 0:
            if model in self._canaries:
                self._drop(model)
            return Choice(stable)
        live, why_not = self._find_canary(model)
        if live is None or why_not is not None:
            self._drop(model)
            return Choice(stable)
        canary = self._canaries.get(model)
        if canary is None or canary.plan != plan or canary.version != live.id:
            canary = self._begin(plan, live.id)
        if canary.takes(key):
            return Choice(live, stable, canary)
        return Choice(stable, canary=canary)

    def _find_canary(self, name: str) -> tuple[LiveServable | None, str | None]:
        """Return the version that a plan means, and why it gets no requests, or None."""
        table = self._catalog.tables[name]
        plan = table.plan.canary
        assert plan is not None, "asked where there is one"
        live = table.find_target(plan.target)
        if live is None:
            return None, f"{plan.target} is no version that serves beside the default one"
        if table.pinned is None:
            return live, f"the newest version answers by default; set the label {STABLE}"
        stable = table.default
        assert stable is not None, "a target is another version than the default one"
        has_same_classes = stable.live is not None and (
            stable.live.manifest.classes == live.manifest.classes
        )
        if not has_same_classes and not self._allow_class_changes:
            return live, f"{live.id} has other classes (KERASERVE_ALLOW_CLASS_CHANGES)"
        if not live.batcher.is_healthy:
            return live, f"{live.id}: {live.batcher.failure}"
        ended = table.plan.end_of(live.id.version)
        return live, None if ended is None else ended.reason

    def _begin(self, plan: CanaryPlan, version: ServableId) -> Canary:
        self._drop(version.name)
        canary = self._canaries[version.name] = Canary(plan, version)
        self._metrics.canary_share(version, plan.share)
        return canary

    def _drop(self, name: str) -> None:
        before = self._canaries.pop(name, None)
        if before is not None:
            self._metrics.canary_share(before.version, 0)

    def refuse_early(
        self,
        choice: Choice,
        options: ClassifyOptions,
        upload_bytes: int,
        *,
        is_one: bool,
        ahead: int = 0,
    ) -> None:
        """Refuse a request that would be refused anyway, before its body is read; else do nothing.

        It counts as one image. Nothing is promised to those who pass.

        Args:
            choice: Who is to answer.
            options: How.
            upload_bytes: Length of the body; 0 where it is not announced.
            is_one: Whether it can have one image only.
            ahead: Images of others that passed a moment ago and do not wait yet.

        Raises:
            QueueFullError: Neither the chosen version has room, nor who stands in for it.
        """
        live, within = choice.live, _within_half(choice, options)
        refusal = self._service.refusal(live, within, upload_bytes, is_one=is_one, ahead=ahead)
        if refusal is None:
            return
        if choice.stable is not None and not isinstance(refusal, DecodeQueueFullError):
            live = choice.stable
            refusal = self._service.refusal(live, options, upload_bytes, is_one=is_one)
            if refusal is None:
                return
        self._note_error(choice, refusal, options)
        live.metrics.image_ended(outcome_of(refusal))
        try:
            raise refusal
        finally:
            del refusal  # a frame that keeps what it raised is a cycle: thousands a second

    def begin(
        self, choice: Choice, upload: bytes, options: ClassifyOptions, on_end: OnImageEnd
    ) -> QuickImage | None:
        """Begin to classify one image, as ``InferenceService.begin`` does.

        Returns:
            None also where a canary compares: somebody else may have to answer then.
        """
        if choice.canary is not None:
            return None
        live = choice.live

        def end(answer: Classification | Exception) -> None:
            try:
                if isinstance(answer, Classification):
                    self._shadows.offer(live, upload, answer)
            except Exception as error:  # nobody else would answer: a callback has no caller
                on_end(error)
            else:
                on_end(answer)

        return self._service.begin(live, upload, options, end)

    async def classify(
        self, choice: Choice, upload: bytes, options: ClassifyOptions
    ) -> tuple[LiveServable, Classification]:
        """Classify one image; return who answered, and what.

        Raises:
            ServingError: As ``InferenceService.classify`` does.
        """
        live = choice.live
        try:
            answer = await self._service.classify(live, upload, _within_half(choice, options))
        except ServerFaultError as error:
            self._note_error(choice, error, options)
            if choice.stable is None or isinstance(error, DecodeQueueFullError):
                raise
            live = choice.stable
            answer = await self._service.classify(live, upload, options)
        else:
            # Only images that were executed compare: a canary has kept nothing yet, and the
            # stable version much.
            compares = options.priority == "interactive" and answer.reuse in (None, "miss")
            self._note_answer(choice, _latency_s(answer) if compares else None)
        self._shadows.offer(live, upload, answer)
        return live, answer

    async def classify_many(
        self, choice: Choice, uploads: Sequence[bytes], options: ClassifyOptions
    ) -> tuple[LiveServable, list[Classification | ServingError]]:
        """Classify the images of one request; return who answered, and one answer for each.

        All come from one version: where the canary fails on one, the stable version answers all.

        Raises:
            ServingError: As ``InferenceService.classify_many`` does.
        """
        live = choice.live
        try:
            within = _within_half(choice, options)
            answers = await self._service.classify_many(live, uploads, within)
            failed = next((a for a in answers if isinstance(a, ExecutionError)), None)
            if failed is not None and choice.stable is not None:
                raise failed
        except ServerFaultError as error:
            self._note_error(choice, error, options)
            if choice.stable is None or isinstance(error, DecodeQueueFullError):
                raise
            live = choice.stable
            answers = await self._service.classify_many(live, uploads, options)
        else:
            self._note_answer(choice, None)
        for upload, answer in zip(uploads, answers, strict=True):
            if isinstance(answer, Classification):
                self._shadows.offer(live, upload, answer)
        return live, answers

    def _note_error(
        self, choice: Choice, error: ServerFaultError, options: ClassifyOptions
    ) -> None:
        is_late = isinstance(error, DeadlineExceededError | TooLateError)
        is_callers = is_late and options.has_own_deadline
        canary = self._counted(choice)
        if canary is None or is_callers or isinstance(error, DecodeQueueFullError):
            return
        if choice.arm == "canary":
            self._metrics.canary_request(canary.version, is_ok=False)
        self._end_by(canary, canary.record_error(choice.arm))

    def _note_answer(self, choice: Choice, latency_s: float | None) -> None:
        canary = self._counted(choice)
        if canary is None:
            return
        if choice.arm == "canary":
            self._metrics.canary_request(canary.version, is_ok=True)
        self._end_by(canary, canary.record_answer(choice.arm, latency_s))

    def _counted(self, choice: Choice) -> Canary | None:
        """Return the canary of a request, if it is still the one of its model."""
        canary = choice.canary
        if canary is None or self._canaries.get(canary.version.name) is not canary:
            return None
        table = self._catalog.tables.get(canary.version.name)
        return canary if table is not None and table.plan.canary == canary.plan else None

    def _end_by(self, canary: Canary, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        fields = {
            "model": canary.version.name,
            "version": canary.version.version,
            "reason": verdict.reason,
        }
        logger.error("canary ended, the stable version answers", extra=fields)
        self._metrics.canary_share(canary.version, 0)
        self._metrics.canary_ended(canary.version, verdict.cause)
        ending = asyncio.create_task(self._keep_in_mind(canary, verdict.reason))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _keep_in_mind(self, canary: Canary, reason: str) -> None:
        name = canary.version.name
        await self._on_end(name, canary.version.version, reason)
        if self._canaries.get(name) is canary:  # the plan knows it now: set again, it begins anew
            del self._canaries[name]

    def status(self, name: str) -> RolloutStatus:
        """Return how canary and shadow of a model do."""
        table = self._catalog.tables.get(name)
        plan = None if table is None else table.plan.canary
        canary = None if plan is None else self._canary_status(name, plan)
        return RolloutStatus(canary, self._shadows.status(name))

    def _canary_status(self, name: str, plan: CanaryPlan) -> CanaryStatus:
        if plan.share == 0:
            return CanaryStatus(plan, RolloutState.OFF)
        live, why_not = self._find_canary(name)
        version = None if live is None else live.id.version
        canary = self._canaries.get(name)
        if canary is not None and (canary.plan != plan or canary.version.version != version):
            canary = None  # of before; the next request begins another one
        verdict = None if canary is None else canary.verdict
        ended = self._catalog.tables[name].plan.ended
        if verdict is not None:
            return CanaryStatus(plan, RolloutState.ENDED, version, verdict.reason)
        if ended and (live is None or ended[-1].version == version):
            return CanaryStatus(plan, RolloutState.ENDED, ended[-1].version, ended[-1].reason)
        if why_not is not None:
            return CanaryStatus(plan, RolloutState.WAITING, version, why_not)
        if canary is None:
            return CanaryStatus(plan, RolloutState.ACTIVE, version, requests=0, error_rate=0.0)
        window = canary.windows["canary"]
        return CanaryStatus(
            plan=plan,
            state=RolloutState.ACTIVE,
            version=version,
            requests=len(window),
            error_rate=window.error_rate,
            p95_s=window.p95_s(),
            stable_p95_s=canary.windows["stable"].p95_s(),
        )

    async def close(self, timeout_s: float) -> None:
        """Give up shadows, and wait until what has ended is kept in mind, but not for ever."""
        await self._shadows.close()
        if self._endings:
            await asyncio.wait(self._endings, timeout=timeout_s)


def _within_half(choice: Choice, options: ClassifyOptions) -> ClassifyOptions:
    """Leave the stable version the time to answer where a canary hangs."""
    if choice.stable is None:
        return options
    now_s = asyncio.get_running_loop().time()
    return replace(options, deadline_s=now_s + (options.deadline_s - now_s) / 2)


def _latency_s(answer: Classification) -> float:
    return answer.timing.queue_s + answer.timing.execute_s
