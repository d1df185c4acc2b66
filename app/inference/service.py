"""The way of an image: decode, schedule, rank; every end of it is counted."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from app.errors import (
    BatcherStoppedError,
    ClientFaultError,
    DeadlineExceededError,
    ExecutionError,
    ImageTooLargeError,
    InvalidRequestError,
    QueueFullError,
    ServableNotReadyError,
    ServingError,
)
from app.imaging.decoder import ImagingPolicy, decode_image
from app.inference.deadline import Deadline
from app.inference.decode_pool import DecodePool
from app.inference.live import LiveServable
from app.inference.ranking import rank
from app.inference.records import (
    Classification,
    ClassifyOptions,
    ImageInfo,
    StageTiming,
)
from app.inference.shared_task import ImageTask, SharedTask
from app.metrics import Metrics
from app.types import DecodedImage, InputSpec

# Up to this size an image is decoded on the event loop: it takes less time there than the way
# to a decode thread and back (benchmarks/README.md). Bytes bound what parsing may cost, pixels
# what decoding may; both are known before anything is decoded.
_QUICK_BYTES = 16 * 1024
_QUICK_PIXELS = 128 * 128
# Of one request: more of them in one turn would hold the event loop for as long as a large one.
_QUICK_IMAGES = 4
# What a form adds to each file, at most in practice: its boundary, headers and file name.
_FORM_BYTES = 1024


class InferenceService:
    """Classifies uploads on live servables.

    Loop: everything runs on the event loop but the decoding of all but small images, which runs
    in the decode pool, and execution, which runs in the device thread of the servable's batcher.
    Answer: each call ends in a classification or one error; so does each image of
    ``classify_many``.
    Cancel: cancelling a call withdraws its images from decoding and from the queue.
    Bound: a call ends at ``options.deadline_s`` at the latest.
    """

    def __init__(self, pool: DecodePool, imaging: ImagingPolicy, metrics: Metrics) -> None:
        """Join the parts."""
        self._pool = pool
        self._imaging = imaging
        self._quick_imaging = replace(
            imaging, max_image_pixels=min(_QUICK_PIXELS, imaging.max_image_pixels)
        )
        self._metrics = metrics

    def refusal(
        self,
        live: LiveServable,
        options: ClassifyOptions,
        upload_bytes: int,
        *,
        is_one: bool,
        ahead: int = 0,
    ) -> QueueFullError | None:
        """Return why one image more would be refused if it were here now; None where not.

        For uploads whose body has not been read: they are then refused without the work of it.

        Args:
            live: Who would classify.
            options: How.
            upload_bytes: Length of the body; 0 where it is not announced.
            is_one: Whether it can have one image only.
            ahead: Images of others that passed a moment ago and do not wait yet.
        """
        quick = 1 if is_one else _QUICK_IMAGES
        if upload_bytes > quick * (_QUICK_BYTES + _FORM_BYTES) or _is_large(live.spec):
            refusal = self._pool.refusal(options.deadline_s - asyncio.get_running_loop().time())
            if refusal is not None:
                return refusal
        if live.reuse is not None:
            return None  # only its pixels tell whether it waits for the batcher at all
        return live.batcher.refusal(
            1 + ahead, deadline_s=options.deadline_s, priority=options.priority
        )

    async def decode(self, live: LiveServable, upload: bytes) -> DecodedImage:
        """Bring an encoded image to what a version takes, in the decode pool.

        Raises:
            ClientFaultError: The image's fault.
            QueueFullError: Too many images wait for being decoded.
        """
        image, _ = await self._decode(live, upload, may_be_quick=False)
        return image

    async def classify(
        self, live: LiveServable, upload: bytes, options: ClassifyOptions
    ) -> Classification:
        """Classify one encoded image.

        Raises:
            ServingError: One of its subclasses: the image's fault, a full queue, the deadline, a
                failed execution, or a version that stopped.
        """
        try:
            with Deadline(options.deadline_s):
                image, decode_s = await self._decode(
                    live, upload, may_be_quick=True, deadline_s=options.deadline_s
                )
                scheduler = live.reuse or live.batcher
                task = scheduler.schedule(
                    image.pixels, deadline_s=options.deadline_s, priority=options.priority
                )
                answer = await _answer(live, task, image, decode_s, options.top_k)
        except TimeoutError:
            raise _late(live, 1) from None
        except BaseException as failure:
            live.metrics.image_ended(outcome_of(failure))
            raise
        _count_ok(live, answer)
        return answer

    async def classify_many(
        self, live: LiveServable, uploads: Sequence[bytes], options: ClassifyOptions
    ) -> list[Classification | ServingError]:
        """Classify several images that came in one request; answers keep their order.

        A bad image, or one that the network fails on, is an entry of its own. The readable ones
        are accepted together or not at all.

        Raises:
            QueueFullError: There is no room for all of them.
            DeadlineExceededError: Not all were answered in time; the rest is withdrawn.
            BatcherStoppedError: The version stopped.
        """
        try:
            with Deadline(options.deadline_s):
                outcomes = await self._classify_all(live, uploads, options)
        except TimeoutError:
            raise _late(live, len(uploads)) from None
        except BaseException as failure:
            _count_all(live, len(uploads), failure)
            raise
        for outcome in outcomes:
            if isinstance(outcome, ServingError):
                live.metrics.image_ended(outcome_of(outcome))
            else:
                _count_ok(live, outcome)
        return outcomes

    async def _classify_all(
        self, live: LiveServable, uploads: Sequence[bytes], options: ClassifyOptions
    ) -> list[Classification | ServingError]:
        decoding = [
            asyncio.create_task(self._decode_entry(live, upload, may_be_quick=n < _QUICK_IMAGES))
            for n, upload in enumerate(uploads)
        ]
        try:
            decoded = await asyncio.gather(*decoding)
        finally:
            for task in decoding:
                task.cancel()
        scheduler = live.reuse or live.batcher
        tasks: Sequence[ImageTask] = scheduler.schedule_many(
            [entry[0].pixels for entry in decoded if not isinstance(entry, ServingError)],
            deadline_s=options.deadline_s,
            priority=options.priority,
        )
        try:
            # One after the other: whichever comes last, all are there then.
            waiting = iter(tasks)
            return [
                entry
                if isinstance(entry, ServingError)
                else await _answer_entry(live, next(waiting), entry, options.top_k)
                for entry in decoded
            ]
        finally:
            for scheduled in tasks:
                scheduled.cancel()

    async def _decode(
        self, live: LiveServable, upload: bytes, *, may_be_quick: bool, deadline_s: float = math.inf
    ) -> tuple[DecodedImage, float]:
        if not upload:
            raise InvalidRequestError("The file is empty.")
        quick = self._decode_quickly(live, upload) if may_be_quick else None
        image, seconds = quick or await self._pool.run(
            functools.partial(decode_image, upload, live.spec, self._imaging),
            deadline_s - asyncio.get_running_loop().time(),
        )
        self._metrics.image_decoded(image.format, seconds)
        return image, seconds

    def _decode_quickly(
        self, live: LiveServable, upload: bytes
    ) -> tuple[DecodedImage, float] | None:
        """Decode a small image here and now; None if it is not small."""
        if len(upload) > _QUICK_BYTES or _is_large(live.spec):
            return None
        start = perf_counter()
        try:
            image = decode_image(upload, live.spec, self._quick_imaging)
        except ImageTooLargeError:
            return None
        return image, perf_counter() - start

    async def _decode_entry(
        self, live: LiveServable, upload: bytes, *, may_be_quick: bool
    ) -> tuple[DecodedImage, float] | ServingError:
        try:
            return await self._decode(live, upload, may_be_quick=may_be_quick)
        except ClientFaultError as error:
            return error


async def _answer(
    live: LiveServable, task: ImageTask, image: DecodedImage, decode_s: float, top_k: int
) -> Classification:
    result = await task.result()
    predictions = rank(result.scores, live.manifest.classes, top_k)
    return Classification(
        predictions,
        ImageInfo(image.format, image.width, image.height, image.mode),
        StageTiming(decode_s, result.queue_delay_s, result.execution_s, result.batch_size),
        image.pixels,
        task.reuse if isinstance(task, SharedTask) else None,
    )


async def _answer_entry(
    live: LiveServable, task: ImageTask, entry: tuple[DecodedImage, float], top_k: int
) -> Classification | ServingError:
    try:
        return await _answer(live, task, *entry, top_k)
    except ExecutionError as error:
        return error


def _is_large(spec: InputSpec) -> bool:
    return spec.height * spec.width > _QUICK_PIXELS


def _late(live: LiveServable, images: int) -> DeadlineExceededError:
    """Count images and return their error: a frame that keeps what it raises is a cycle."""
    error = DeadlineExceededError("The deadline passed before the answer was there.")
    _count_all(live, images, error)
    return error


# ---- counting ---------------------------------------------------------------------------------

_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (ClientFaultError, "invalid"),
    (QueueFullError, "queue_full"),
    (DeadlineExceededError, "deadline"),
    (BatcherStoppedError, "not_ready"),
    (ServableNotReadyError, "not_ready"),
    (asyncio.CancelledError, "cancelled"),
)


def outcome_of(error: BaseException) -> str:
    """Return the ``outcome`` label of ``images_total`` for an error."""
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "execution_failed")


def _count_all(live: LiveServable, images: int, error: BaseException) -> None:
    for _ in range(images):
        live.metrics.image_ended(outcome_of(error))


def _count_ok(live: LiveServable, answer: Classification) -> None:
    best = answer.predictions[0]
    live.metrics.image_ended("ok")
    live.metrics.image_predicted(best.class_id, best.score)
    if live.window is not None:
        live.window.observe(best.class_id, best.score, answer.pixels)
