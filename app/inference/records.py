"""What a caller asks of the inference service, and what it gets.

Nobody changes one of these records. They are not frozen all the same: they are made for each image,
and making a frozen one of five fields takes four times as long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from app.inference.shared_task import Reuse
from app.tracing.request_trace import RequestTrace
from app.types import ImageArray, Priority


@dataclass(slots=True)
class ClassifyOptions:
    """How one request wants its images classified.

    Attributes:
        top_k: Labels per answer, 1..K.
        deadline_s: When the answer is worthless, on the event loop's clock (``loop.time()``).
        priority: ``interactive`` goes before ``bulk`` when a batch is formed.
        has_own_deadline: Whether the caller set the deadline: how the server does cannot be told
            by it.
        trace: Told of the stages, where the request is traced.
    """

    top_k: int
    deadline_s: float
    priority: Priority = "interactive"
    has_own_deadline: bool = False
    trace: RequestTrace | None = None


class Prediction(NamedTuple):
    """One label with its probability, 0..1."""

    label: str
    class_id: int
    score: float


@dataclass(slots=True, unsafe_hash=True)
class ImageInfo:
    """What the upload was, before it was brought to the network's input; may be a key."""

    format: str
    width: int
    height: int
    mode: str


@dataclass(slots=True)
class StageTiming:
    """Where the time of one image went, s; ``batch_size`` counts images without padding.

    Of kept scores, queue, execution and batch size are 0. ``queue_position`` is the place in the
    queue when it came, from 1; None where it waited for another image, or not at all.
    """

    decode_s: float
    queue_s: float
    execute_s: float
    batch_size: int
    queue_position: int | None = None


@dataclass(slots=True)
class Classification:
    """The answer for one image.

    Attributes:
        predictions: Sorted by score, highest first.
        image: What the upload was.
        timing: Where its time went.
        pixels: ``(H, W, C)`` uint8, 0..255: what the network saw. Neither compared nor printed.
        reuse: How it came to its scores; None where nothing is reused.
    """

    predictions: tuple[Prediction, ...]
    image: ImageInfo
    timing: StageTiming
    pixels: ImageArray = field(repr=False, compare=False)
    reuse: Reuse | None = None
