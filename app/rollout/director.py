"""Gives each request its version, and answers it from the stable one where a canary fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import DeadlineExceededError, ExecutionError, ServerFaultError, ServingError
from app.inference.live import LiveServable
from app.inference.records import Classification, ClassifyOptions
from app.inference.service import InferenceService
from app.registry.catalog import ModelCatalog
from app.registry.version_table import STABLE
from app.rollout.canary import Arm, Canary, Verdict
from app.rollout.metrics import RolloutMetrics
from app.rollout.shadow import ShadowRunner
from app.rollout.status import CanaryStatus, RolloutState, RolloutStatus

logger = logging.getLogger(__name__)

OnEnd = Callable[[str, int, str], Awaitable[None]]
"""Told the model, the version and the reason of a canary that has ended; keeps them in mind."""


@dataclass(frozen=True, slots=True)
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

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the versions that may answer while the block runs."""
        with contextlib.ExitStack() as held:
            held.enter_context(self.live.leases.hold())
            if self.stable is not None:
                held.enter_context(self.stable.leases.hold())
            yield


class TrafficDirector:
    """Splits the traffic of the models by their plans.

    Loop: everything runs on one event loop.
    Choose: never waits. A request that names a version or a label gets it. Of the others, those
        whose key belongs to the share get the canary.
    Answer: a request whose canary fails for the server's reasons, the deadline apart, is answered
        by the stable version; callers notice nothing but the time.
    End: a canary that passes a threshold takes no request from that moment on.
    """

    def __init__(
        self,
        catalog: ModelCatalog[LiveServable],
        service: InferenceService,
        metrics: RolloutMetrics,
        on_end: OnEnd,
    ) -> None:
        """Take what knows the versions, what classifies, where to count, and who is told."""
        self._catalog = catalog
        self._service = service
        self._metrics = metrics
        self._on_end = on_end
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
        canary, live, _ = self._canary_of(stable.id.name)
        if canary is None or live is None:
            return Choice(stable)
        if canary.takes(key):
            return Choice(live, stable, canary)
        return Choice(stable, canary=canary)

    def _canary_of(self, name: str) -> tuple[Canary | None, LiveServable | None, str | None]:
        """Return the canary of a model with its version, or why there is none."""
        table = self._catalog.tables[name]
        plan = table.plan.canary
        if plan is None or plan.share == 0:
            self._drop(name)
            return None, None, None
        live, ended = table.find_target(plan.target), table.plan.ended
        if live is None or table.pinned is None:
            self._drop(name)
            missing = f"{plan.target} is no version that serves beside the default one"
            unpinned = f"the newest version answers by default; set the label {STABLE}"
            return None, None, missing if live is None else unpinned
        if ended is not None and ended.version == live.id.version:
            self._drop(name)
            return None, live, ended.reason
        known = self._canaries.get(name)
        if known is None or known.plan != plan or known.version != live.id:
            self._drop(name)
            known = self._canaries[name] = Canary(plan, live.id)
            self._metrics.canary_share(live.id, plan.share)
        return known, live, None

    def _drop(self, name: str) -> None:
        before = self._canaries.pop(name, None)
        if before is not None:
            self._metrics.canary_share(before.version, 0)

    async def classify(
        self, choice: Choice, upload: bytes, options: ClassifyOptions
    ) -> tuple[LiveServable, Classification]:
        """Classify one image; return who answered, and what.

        Raises:
            ServingError: As ``InferenceService.classify`` does.
        """
        live = choice.live
        try:
            answer = await self._service.classify(live, upload, options)
        except ServerFaultError as error:
            self._note(choice, None)
            if choice.stable is None or isinstance(error, DeadlineExceededError):
                raise
            live = choice.stable
            answer = await self._service.classify(live, upload, options)
        else:
            self._note(choice, answer)
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
            answers = await self._service.classify_many(live, uploads, options)
            failed = next((a for a in answers if isinstance(a, ExecutionError)), None)
            if failed is not None and choice.stable is not None:
                raise failed
        except ServerFaultError as error:
            self._note(choice, None)
            if choice.stable is None or isinstance(error, DeadlineExceededError):
                raise
            live = choice.stable
            answers = await self._service.classify_many(live, uploads, options)
        else:
            slowest = max(
                (a for a in answers if isinstance(a, Classification)), key=_latency_s, default=None
            )
            if slowest is not None:
                self._note(choice, slowest)
        for upload, answer in zip(uploads, answers, strict=True):
            if isinstance(answer, Classification):
                self._shadows.offer(live, upload, answer)
        return live, answers

    def _note(self, choice: Choice, answer: Classification | None) -> None:
        canary = choice.canary
        if canary is None:
            return
        if choice.arm == "canary":
            self._metrics.canary_request(canary.version, is_ok=answer is not None)
        verdict = canary.record(choice.arm, None if answer is None else _latency_s(answer))
        if verdict is not None:
            self._end(canary, verdict)

    def _end(self, canary: Canary, verdict: Verdict) -> None:
        name, version = canary.version.name, canary.version.version
        fields = {"model": name, "version": version, "reason": verdict.reason}
        logger.error("canary ended, the stable version answers", extra=fields)
        self._metrics.canary_share(canary.version, 0)
        self._metrics.canary_ended(canary.version, verdict.cause)
        ending = asyncio.ensure_future(self._on_end(name, version, verdict.reason))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def status(self, name: str) -> RolloutStatus:
        """Return how canary and shadow of a model do."""
        table = self._catalog.tables.get(name)
        plan = None if table is None else table.plan.canary
        shadow = self._shadows.status(name)
        if plan is None:
            return RolloutStatus(None, shadow)
        canary, live, why_not = self._canary_of(name)
        version = None if live is None else live.id.version
        if canary is None:
            state = RolloutState.WAITING if live is None else RolloutState.ENDED
            state = RolloutState.OFF if plan.share == 0 else state
            return RolloutStatus(CanaryStatus(plan, state, version, why_not), shadow)
        window = canary.windows["canary"]
        verdict = canary.verdict
        status = CanaryStatus(
            plan=plan,
            state=RolloutState.ACTIVE if verdict is None else RolloutState.ENDED,
            version=version,
            reason=None if verdict is None else verdict.reason,
            requests=len(window),
            error_rate=window.error_rate,
            p95_s=window.p95_s(),
            stable_p95_s=canary.windows["stable"].p95_s(),
        )
        return RolloutStatus(status, shadow)

    async def close(self) -> None:
        """Give up shadows, and wait until what has ended is kept in mind."""
        await self._shadows.close()
        await asyncio.gather(*self._endings, return_exceptions=True)


def _latency_s(answer: Classification) -> float:
    return answer.timing.queue_s + answer.timing.execute_s
