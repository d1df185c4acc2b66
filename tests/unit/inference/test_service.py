"""The way of an image through decoding, batching and ranking, on a puppet network."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from app.batching.batcher import DynamicBatcher
from app.batching.policy import BatchPolicy
from app.errors import (
    DeadlineExceededError,
    DecodeQueueFullError,
    ExecutionError,
    ImageDecodeError,
    InvalidRequestError,
    QueueFullError,
    ServingError,
    UnsupportedFormatError,
)
from app.imaging.decoder import ImagingPolicy
from app.imaging.encoder import encode_png
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.records import Classification, ClassifyOptions
from app.inference.service import InferenceService
from app.metrics import Metrics
from app.types import ImageArray, ScoreArray, ServableId
from tests.factories.versions import make_manifest
from tests.fakes import PuppetServable, scores_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]

MANIFEST = make_manifest()
CLASSES = len(MANIFEST.classes)
SPEC = MANIFEST.input.spec


class World:
    """A service with one live servable, and what it counted."""

    def __init__(self, behave: Callable[[ImageArray], ScoreArray], max_queue_size: int) -> None:
        self.registry = CollectorRegistry()
        self.queued = asyncio.Event()
        metrics = Metrics(self.registry, (1, 2, 4))
        self.puppet = PuppetServable(behave)
        servable_metrics = metrics.for_servable(ServableId("cifar10", 1), MANIFEST.classes)
        policy = BatchPolicy(4, (1, 2, 4), max_queue_size=max_queue_size)
        batcher = DynamicBatcher(self.puppet, policy, observer=self)
        self.live = LiveServable(
            ServableId("cifar10", 1), MANIFEST, SPEC, self.puppet, batcher, servable_metrics
        )
        self.pool = DecodePool(threads=2, max_pending=64)
        self.service = InferenceService(self.pool, ImagingPolicy(), metrics)

    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        """Not needed here."""

    def task_dequeued(self, queue_delay_s: float) -> None:
        """Not needed here."""

    def queue_size_changed(self, queue_size: int) -> None:
        (self.queued.set if queue_size else self.queued.clear)()

    def predictions(self) -> float:
        """``prediction_confidence`` counts one for each prediction."""
        name = "keraserve_prediction_confidence_count"
        return self.registry.get_sample_value(name, {"model": "cifar10", "version": "1"}) or 0.0

    def outcomes(self) -> dict[str, float]:
        """``images_total`` by outcome, without the zeros."""
        found = {}
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == "keraserve_images_total" and sample.value:
                    found[sample.labels["outcome"]] = sample.value
        return found


@asynccontextmanager
async def world(
    behave: Callable[[ImageArray], ScoreArray] = lambda images: scores_of(images, CLASSES),
    *,
    max_queue_size: int = 64,
) -> AsyncIterator[World]:
    made = World(behave, max_queue_size)
    made.live.batcher.start()
    yield made
    made.puppet.let_go()
    await made.live.batcher.close()
    made.pool.close()


def options(top_k: int = CLASSES, *, within_s: float = 10) -> ClassifyOptions:
    return ClassifyOptions(top_k, asyncio.get_running_loop().time() + within_s)


def picture(seed: int) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, SPEC.shape, dtype=np.uint8)


async def test_answer_has_the_scores_of_its_own_image() -> None:
    async with world() as w:
        answers = await asyncio.gather(
            *(w.service.classify(w.live, encode_png(picture(n)), options()) for n in range(9))
        )
        for seed, answer in enumerate(answers):
            expected = scores_of(picture(seed)[np.newaxis], CLASSES)[0]
            by_class = {p.class_id: p.score for p in answer.predictions}
            assert [by_class[k] for k in range(CLASSES)] == pytest.approx(expected.tolist())
            assert answer.predictions[0].label == MANIFEST.classes[int(expected.argmax())]
            assert np.array_equal(answer.pixels, picture(seed)), "what the network saw"
        assert (answers[0].image.format, answers[0].image.width) == ("PNG", SPEC.width)
        assert w.outcomes() == {"ok": 9}


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        pytest.param(b"", InvalidRequestError, id="empty"),
        pytest.param(b"words", UnsupportedFormatError, id="no image"),
        pytest.param(encode_png(picture(0))[:-40], ImageDecodeError, id="truncated"),
    ],
)
async def test_bad_image_is_refused_and_never_reaches_the_network(
    upload: bytes, error: type[ServingError]
) -> None:
    async with world() as w:
        with pytest.raises(error):
            await w.service.classify(w.live, upload, options())
        assert w.puppet.executed == []
        assert w.outcomes() == {"invalid": 1}


async def test_deadline_ends_the_wait_for_an_execution() -> None:
    async with world() as w:
        w.puppet.hold()
        with pytest.raises(DeadlineExceededError):
            await w.service.classify(w.live, encode_png(picture(0)), options(within_s=0.05))
        assert w.outcomes() == {"deadline": 1}


async def test_image_whose_deadline_passed_in_the_queue_is_not_executed() -> None:
    async with world() as w:
        w.puppet.hold()
        first = asyncio.create_task(w.service.classify(w.live, encode_png(picture(0)), options()))
        await w.puppet.began(1)
        with pytest.raises(DeadlineExceededError):
            await w.service.classify(w.live, encode_png(picture(1)), options(within_s=0.05))
        w.puppet.let_go()
        await first
        await w.live.batcher.drain()
        assert w.puppet.batch_sizes == [1]


async def test_cancelled_caller_withdraws_its_image() -> None:
    async with world() as w:
        w.puppet.hold()
        first = asyncio.create_task(w.service.classify(w.live, encode_png(picture(0)), options()))
        await w.puppet.began(1)
        second = asyncio.create_task(w.service.classify(w.live, encode_png(picture(1)), options()))
        await w.queued.wait()
        second.cancel()
        await asyncio.wait([second])
        assert w.live.batcher.queue_size == 0
        w.puppet.let_go()
        await first
        assert w.outcomes() == {"ok": 1, "cancelled": 1}


async def test_many_keep_their_order_and_bad_ones_fail_alone() -> None:
    uploads = [encode_png(picture(0)), b"words", encode_png(picture(2)), b""]
    async with world() as w:
        answers = await w.service.classify_many(w.live, uploads, options())
        kinds = [type(answer) for answer in answers]
        assert kinds == [
            Classification, UnsupportedFormatError, Classification, InvalidRequestError,
        ]  # fmt: skip
        third = answers[2]
        assert isinstance(third, Classification)
        expected = scores_of(picture(2)[np.newaxis], CLASSES)[0]
        assert third.predictions[0].score == pytest.approx(float(expected.max()))
        assert w.outcomes() == {"ok": 2, "invalid": 2}


async def test_many_are_accepted_together_or_not_at_all() -> None:
    async with world(max_queue_size=3) as w:
        with pytest.raises(QueueFullError):
            await w.service.classify_many(w.live, [encode_png(picture(0))] * 4, options())
        assert w.live.batcher.queue_size == 0
        assert w.outcomes() == {"queue_full": 4}


@pytest.mark.parametrize(
    ("upload_bytes", "is_one", "is_refused"),
    [(0, True, False), (17_000, True, False), (18_000, True, True), (18_000, False, False),
     (72_000, False, True)],
    ids=["not said", "perhaps small", "large", "perhaps four small ones", "many or large"],
)  # fmt: skip
async def test_only_uploads_that_the_decode_pool_must_take_are_refused_where_it_is_full(
    upload_bytes: int, is_one: bool, is_refused: bool
) -> None:
    gate = threading.Event()
    async with world() as w:
        decoding = [asyncio.create_task(w.pool.run(gate.wait)) for _ in range(64)]
        await anyio.wait_all_tasks_blocked()
        refusal = w.service.refusal(w.live, options(), upload_bytes, is_one=is_one)
        assert isinstance(refusal, DecodeQueueFullError) == is_refused
        assert w.outcomes() == {}, "who asks counts"
        gate.set()
        await asyncio.gather(*decoding)


async def test_image_that_the_network_fails_on_hurts_no_other() -> None:
    def behave(images: ImageArray) -> ScoreArray:
        if (images == picture(1)).all(axis=(1, 2, 3)).any():
            raise ValueError("culprit")
        return scores_of(images, CLASSES)

    async with world(behave) as w:
        uploads = [encode_png(picture(n)) for n in range(3)]
        answers = await w.service.classify_many(w.live, uploads, options())
        assert isinstance(answers[1], ExecutionError)
        assert isinstance(answers[0], Classification)
        assert isinstance(answers[2], Classification)
        assert w.outcomes() == {"ok": 2, "execution_failed": 1}


async def test_deadline_of_many_withdraws_all_that_are_left() -> None:
    async with world() as w:
        w.puppet.hold()
        uploads = [encode_png(picture(n)) for n in range(6)]
        with pytest.raises(DeadlineExceededError):
            await w.service.classify_many(w.live, uploads, options(within_s=0.2))
        assert w.live.batcher.queue_size == 0
        assert w.outcomes() == {"deadline": 6}


async def test_answers_that_nobody_got_are_not_counted_as_predictions() -> None:
    def hold_the_second(images: ImageArray) -> ScoreArray:
        w.puppet.hold()
        return scores_of(images, CLASSES)

    async with world(hold_the_second) as w:
        uploads = [encode_png(picture(n)) for n in range(6)]
        with pytest.raises(DeadlineExceededError):
            await w.service.classify_many(w.live, uploads, options(within_s=0.3))
        assert w.puppet.batch_sizes == [4, 2], "the first four were answered"
        assert w.outcomes() == {"deadline": 6}
        assert w.predictions() == 0


async def test_answer_that_was_delivered_is_counted_as_a_prediction() -> None:
    async with world() as w:
        await w.service.classify_many(w.live, [encode_png(picture(n)) for n in range(6)], options())
        assert w.predictions() == 6
