"""Vocabulary shared by every layer: identities, states, records and Protocols.

Array shapes are written with ``N`` batch, ``H`` height, ``W`` width, ``C`` channels and
``K`` classes throughout the project.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ImageArray: TypeAlias = NDArray[np.uint8]
ScoreArray: TypeAlias = NDArray[np.float32]

Execute: TypeAlias = Callable[[ImageArray], ScoreArray]
"""Classifies ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1; for one thread."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
ResizeMode = Literal["stretch", "crop", "pad"]
Priority = Literal["interactive", "bulk"]


@dataclass(frozen=True, slots=True, order=True)
class ServableId:
    """Identity of one loaded version of one model."""

    name: str
    version: int

    def __str__(self) -> str:
        """Return ``name:version``, the form used in logs."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network expects of one image: uint8, 0..255, channels last.

    Attributes:
        height: Rows of the network's input, px.
        width: Columns of the network's input, px.
        channels: 1 (grey) or 3 (RGB).
        resize: How another size is brought to this one: ``stretch`` ignores the aspect ratio,
            ``crop`` covers and cuts the centre, ``pad`` fits inside and fills with black.
        interpolation: Resampling filter of that resize; reducing is always antialiased.
    """

    height: int
    width: int
    channels: int
    resize: ResizeMode = "stretch"
    interpolation: Interpolation = "bilinear"

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, C)``."""
        return (self.height, self.width, self.channels)


@dataclass(slots=True)  # not frozen: one is made for each image, and freezing takes the most time
class DecodedImage:
    """One upload after decoding, ready for the network.

    Attributes:
        pixels: ``(H, W, C)`` uint8, 0..255, as the model's ``InputSpec`` asks.
        format: Name of the file format as Pillow gives it, e.g. ``PNG``.
        width: Columns of the upload after EXIF orientation, px.
        height: Rows of the upload after EXIF orientation, px.
        mode: Pillow mode of the upload as stored, e.g. ``RGB``, ``P``, ``I;16``.
    """

    pixels: ImageArray
    format: str
    width: int
    height: int
    mode: str


class ServableState(StrEnum):
    """Where a version stands in its life; it only ever moves downward in this list."""

    START = "START"
    """Seen in the store, nothing done yet."""
    LOADING = "LOADING"
    """Checksums are compared and the engine builds the network."""
    WARMING = "WARMING"
    """Every allowed batch size is executed once."""
    TESTING = "TESTING"
    """The self-test compares against the recorded probabilities."""
    AVAILABLE = "AVAILABLE"
    """Takes traffic."""
    DRAINING = "DRAINING"
    """Refuses new images and finishes what it accepted."""
    END = "END"
    """Closed; its memory has been given back."""
    FAILED = "FAILED"
    """Never served, or no longer; the reason stands beside it."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a servable runs on, as shown by ``/v1/models`` and ``model_info``.

    Attributes:
        engine: One of those that ``KERASERVE_ENGINE`` names.
        precision: What it computes in.
        device: What people call it, e.g. ``NVIDIA H100``.
        device_id: What ``KERASERVE_DEVICES`` calls it, e.g. ``gpu:0``; of several, the first.
    """

    engine: str
    precision: str
    device: str
    device_id: str = "cpu:0"


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """What an engine holds of a device's memory, bytes; None: it does not tell.

    Attributes:
        used: By weights, images and results, now.
        peak: The most of it since the process began.
        limit: What it may take at most.
    """

    used: int
    peak: int | None = None
    limit: int | None = None


class Servable(Protocol):
    """A callable, loaded version. The rest of the code cannot tell engines apart.

    One thread at a time calls it: the device thread of its batcher.
    """

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        ...

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify a batch.

        Args:
            images: ``(N, H, W, C)`` uint8, 0..255; N from 1 to the largest allowed batch size.
                Other sizes than the allowed ones are padded up, and cut again, in here.

        Returns:
            ``(N, K)`` float32, rows sum to 1.
        """
        ...

    def warm_up(self) -> None:
        """Execute every allowed batch size once, so that no request pays for the first call."""
        ...

    def close(self) -> None:
        """Give the device's memory back. Calls after this one do nothing."""
        ...


@runtime_checkable
class StagingServable(Servable, Protocol):
    """A servable on a device with memory of its own, where copying is a step of its own.

    ``stage`` may run in another thread while ``execute`` or ``execute_staged`` runs. A batch that
    it raises for is executed as if it had not been staged.
    """

    def stage(self, images: ImageArray) -> Any:
        """Copy ``(N, H, W, C)`` uint8, as ``execute`` takes it, to the device.

        Returns:
            What ``execute_staged`` takes, once.
        """
        ...

    def execute_staged(self, staged: Any) -> ScoreArray:
        """Classify what was copied → ``(N, K)`` float32, rows sum to 1, without the filling."""
        ...


@runtime_checkable
class QueueingServable(StagingServable, Protocol):
    """A servable whose engine has a queue: ``stage`` puts a batch there, and waits for nothing.

    It is executed as soon as the engine has done what lies before it, whether or not it is still
    wanted; ``execute_staged`` waits for that. ``stage`` may run in several threads at a time.
    """

    def can_queue(self, count: int) -> bool:
        """Whether the queue takes so many images; it raises for other numbers of them."""
        ...


@runtime_checkable
class MeteredServable(Servable, Protocol):
    """A servable whose engine tells what it holds of its device's memory."""

    @property
    def memory_reader(self) -> Callable[[], EngineMemory]:
        """Asks the engine, of all versions on the device; in any thread.

        Holds nothing of the servable, which may be closed meanwhile. May raise: nothing is shown
        then.
        """
        ...


@runtime_checkable
class ServableGroup(Servable, Protocol):
    """One version on several devices; each member has a thread of its own."""

    @property
    def members(self) -> tuple[Servable, ...]:
        """One for each device, all with the same answers."""
        ...

    @property
    def joins_at(self) -> int:
        """Images that another member takes while one works; fewer wait for that one.

        1 for devices of their own. More where the members share one: a small batch is executed
        sooner by the whole of it, afterwards.
        """
        ...


class BatchObserver(Protocol):
    """Where a batcher tells what it did; called on its event loop, must not block or raise."""

    def batch_executed(self, *, size: int, padded: int, duration_s: float) -> None:
        """One execution ended well: ``size`` images, and ``padded`` rows of filling beside them."""
        ...

    def task_dequeued(self, queue_delay_s: float) -> None:
        """One image left the queue for the device after ``queue_delay_s`` seconds."""
        ...

    def queue_size_changed(self, queue_size: int) -> None:
        """``queue_size`` images wait now."""
        ...


ExecutionTimer: TypeAlias = AbstractContextManager[object]
"""Entered by a thread for as long as a device executes for it; by several at once."""

TimerOf: TypeAlias = Callable[[str], ExecutionTimer]
"""The timer of the device with this ``EngineInfo.device_id``."""


class Clock(Protocol):
    """Monotonic time; a fake one drives the tests."""

    def __call__(self) -> float:
        """Return seconds since an arbitrary start."""
        ...
