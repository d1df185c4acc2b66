"""A CPU shared by two executions at a time, once there is enough for both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from app.runtime.servable_group import DeviceGroup
from app.types import EngineInfo, Execute, ImageArray, ScoreArray, Servable

JOINS_AT = 16
"""Images that make a batch of its own beside one that is executed; fewer wait for that one.

Half a core executes as many images per second in batches of 8 as in batches of 32, but each batch
costs 0.3 ms beside its execution: of answers that wait for the interpreter, of being handed over.
"""

STREAMS = 2


class Begun(Protocol):
    """A batch in an engine's queue, executed or not; may be dropped at any time."""

    def scores(self) -> ScoreArray:
        """Wait until it has been executed → ``(N, K)`` float32, rows sum to 1; once."""
        ...


@runtime_checkable
class QueueingStream(Protocol):
    """An ``Execute`` of an engine with a queue, which all its streams take from."""

    def __call__(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        ...

    def begin(self, images: ImageArray) -> Begun:
        """Put ``(N, H, W, C)`` uint8 into the queue, from any thread; wait for nothing.

        Raises:
            RuntimeError: The queue is full, or the engine refuses them.
        """
        ...

    def close(self) -> None:
        """Take nothing more; wait for nothing. What was dropped may still be executed."""
        ...


class SharedNetwork(Servable, Protocol):
    """One network on a CPU, which can be executed by parts of its cores as well."""

    @property
    def cores(self) -> int:
        """Cores that one execution takes."""
        ...

    def warm_up(self, execute: Execute | None = None) -> None:
        """Execute every allowed batch size once; by ``execute``, if it is given."""
        ...

    def on_all_cores(self) -> Execute:
        """Return what executes for one more thread, on all cores."""
        ...

    def on_streams(self, count: int) -> Sequence[Execute]:
        """Compile for ``count`` executions at a time, each with its share of the cores.

        Raises:
            ArtifactError: It cannot be compiled so.
        """
        ...


class StreamServable:
    """One of the streams: all cores for a small batch, its own share of them for a larger one."""

    def __init__(self, network: SharedNetwork, stream: Execute, joins_at: int) -> None:
        """Take a stream; ``network`` is the one that all of them share."""
        self._network = network
        self._small: Execute | None = network.on_all_cores()
        self._large: Execute | None = stream
        self._joins_at = joins_at

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._network.info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        execute = self._small if len(images) < self._joins_at else self._large
        assert execute is not None, "what is closed is not called"
        return execute(images)

    def warm_up(self) -> None:
        """Execute every allowed batch size once."""
        self._network.warm_up(self.execute)

    def close(self) -> None:
        """Drop what the stream executes with."""
        self._small = self._large = None


class QueueingStreamServable(StreamServable):
    """A stream whose next batch begins as soon as it can; implements ``QueueingServable``.

    The engine has it before the thread that waits for the present one learns that it has ended,
    which may take as long as somebody else holds the interpreter.
    """

    def __init__(self, network: SharedNetwork, stream: QueueingStream, joins_at: int) -> None:
        """Take a stream; see ``StreamServable``."""
        super().__init__(network, stream, joins_at)
        self._queue: QueueingStream | None = stream

    def can_queue(self, count: int) -> bool:
        """Whether so many images are for the streams at all; fewer are faster on all cores."""
        return count >= self._joins_at

    def stage(self, images: ImageArray) -> Begun:
        """Put ``(N, H, W, C)`` uint8 into the engine's queue, from any thread; wait for nothing.

        Raises:
            ValueError: They are too few to be ``can_queue``.
            RuntimeError: The queue is full, or the engine refuses them.
        """
        assert self._queue is not None, "what is closed is not called"
        if not self.can_queue(len(images)):
            raise ValueError(f"{len(images)} images, a stream takes {self._joins_at} or more")
        return self._queue.begin(images)

    def execute_staged(self, staged: Begun) -> ScoreArray:
        """Wait for a batch of any stream of this network → ``(N, K)`` float32, rows sum to 1."""
        return staged.scores()

    def close(self) -> None:
        """Drop what the stream executes with."""
        super().close()
        if self._queue is not None:
            self._queue.close()
            self._queue = None


class StreamGroup(DeviceGroup):
    """One network on all cores, and on two halves of them; implements ``ServableGroup``.

    A batch that is executed by all cores waits in each layer for the slowest, and the cores are
    not its own: the event loop takes one of them again and again, to the length of a third of the
    time, and the other one waits for what that core was to do. Two batches that each have their
    share do not wait for each other: with 64 clients 1.1 to 1.2 times the images per second
    (``benchmarks/README.md``). A lone image, and a few, are faster on all cores.

    Called as one servable it executes on all cores.
    """

    def __init__(self, network: SharedNetwork, *, joins_at: int = JOINS_AT) -> None:
        """Compile ``network`` once more, for ``STREAMS`` executions at a time, and own it."""
        self._network = network
        streams = network.on_streams(STREAMS)
        super().__init__([_member(network, stream, joins_at) for stream in streams])
        self.joins_at = joins_at

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._network.info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1; on all cores."""
        return self._network.execute(images)

    def close(self) -> None:
        """Drop the streams, then the network."""
        super().close()
        self._network.close()


def _member(network: SharedNetwork, stream: Execute, joins_at: int) -> StreamServable:
    if isinstance(stream, QueueingStream):
        return QueueingStreamServable(network, stream, joins_at)
    return StreamServable(network, stream, joins_at)


def shared(network: SharedNetwork, largest: int) -> Servable:
    """Return a network that shares its cores, if there are enough of them and of images.

    Args:
        network: Belongs to what is returned.
        largest: The largest allowed batch size, images.
    """
    can_share = network.cores >= STREAMS and largest >= JOINS_AT
    return StreamGroup(network) if can_share else network
