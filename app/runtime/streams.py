"""A CPU shared by two executions at a time, once there is enough for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from app.runtime.servable_group import DeviceGroup
from app.types import EngineInfo, ImageArray, ScoreArray, Servable

JOINS_AT = 16
"""Images that make a batch of its own beside one that is executed; fewer wait for that one.

Half a core executes as many images per second in batches of 8 as in batches of 32, but each batch
costs 0.3 ms beside its execution: of answers that wait for the interpreter, of being handed over.
"""

STREAMS = 2

Execute: TypeAlias = Callable[[ImageArray], ScoreArray]
"""Classifies ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1; for one thread."""


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
        super().__init__([StreamServable(network, stream, joins_at) for stream in streams])
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


def shared(network: SharedNetwork, largest: int) -> Servable:
    """Return a network that shares its cores, if there are enough of them and of images.

    Args:
        network: Belongs to what is returned.
        largest: The largest allowed batch size, images.
    """
    can_share = network.cores >= STREAMS and largest >= JOINS_AT
    return StreamGroup(network) if can_share else network
