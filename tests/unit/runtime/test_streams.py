"""Which way a batch is executed, on a stand-in for an engine's network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from app.runtime.padding import pad_to_allowed
from app.runtime.streams import JOINS_AT, STREAMS, StreamGroup, shared
from app.types import (
    EngineInfo,
    Execute,
    ImageArray,
    QueueingServable,
    ScoreArray,
    ServableGroup,
    StagingServable,
)
from tests.fakes import scores_of

SIZES = (1, 4, 8)
JOINS = 4


class Network:
    """Keeps the sizes that each of its ways has executed."""

    def __init__(self, cores: int = 2) -> None:
        self.cores = cores
        self.info = EngineInfo("openvino", "float32", "cpu")
        self.own: list[int] = []
        self.all_cores: list[list[int]] = []
        self.streams: list[list[int]] = []
        self.is_closed = False

    def on_all_cores(self) -> Execute:
        self.all_cores.append([])
        return partial(self._execute, self.all_cores[-1])

    def on_streams(self, count: int) -> Sequence[Execute]:
        self.streams = [[] for _ in range(count)]
        return [partial(self._execute, sizes) for sizes in self.streams]

    def execute(self, images: ImageArray) -> ScoreArray:
        return self._execute(self.own, images)

    def _execute(self, sizes: list[int], images: ImageArray) -> ScoreArray:
        padded = pad_to_allowed(images, SIZES)
        sizes.append(len(padded))
        return scores_of(padded)[: len(images)]

    def warm_up(self, execute: Execute | None = None) -> None:
        for size in SIZES:
            (execute or self.execute)(np.zeros((size, 2, 2, 1), np.uint8))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def group(network: Network) -> StreamGroup:
    return StreamGroup(network, joins_at=JOINS)


def images(count: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 1), np.uint8)


def test_group_has_a_member_for_each_stream(network: Network, group: StreamGroup) -> None:
    assert isinstance(group, ServableGroup)
    assert (len(group.members), group.joins_at) == (STREAMS, JOINS)
    assert len(network.streams) == STREAMS
    assert group.info == group.members[0].info == network.info
    assert StreamGroup(network).joins_at == JOINS_AT


@pytest.mark.parametrize(
    ("count", "is_small", "padded"),
    [(1, True, 1), (2, True, 4), (3, True, 4), (4, False, 4), (5, False, 8), (8, False, 8)],
)
def test_small_batches_get_all_cores_and_others_a_stream_of_their_own(
    network: Network, group: StreamGroup, count: int, is_small: bool, padded: int
) -> None:
    for number, member in enumerate(group.members):
        found = member.execute(images(count, number))
        np.testing.assert_array_equal(found, scores_of(images(count, number)))
        small, large = network.all_cores[number], network.streams[number]
        assert (small, large) == (([padded], []) if is_small else ([], [padded]))
    assert network.own == []


def test_each_member_has_ways_of_its_own_for_its_thread(network: Network) -> None:
    StreamGroup(network)
    assert len(network.all_cores) == len(network.streams) == STREAMS


def test_as_one_servable_all_cores_execute(network: Network, group: StreamGroup) -> None:
    np.testing.assert_array_equal(group.execute(images(8)), scores_of(images(8)))
    assert network.own == [8]
    assert network.streams == [[], []]


def test_every_size_is_warmed_up_as_it_will_be_executed(
    network: Network, group: StreamGroup
) -> None:
    group.warm_up()
    assert (network.own, network.all_cores) == ([], [[1], [1]])
    assert network.streams == [[4, 8], [4, 8]]


def test_network_is_closed_with_its_streams(network: Network, group: StreamGroup) -> None:
    group.close()
    group.close()
    assert network.is_closed


class Queue:
    """A stream of an engine with a queue, which executes what it is asked for."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.is_closed = False

    def __call__(self, images: ImageArray) -> ScoreArray:
        return scores_of(images)

    def begin(self, images: ImageArray) -> Waiting:
        self.begun.append(len(images))
        return Waiting(images)

    def close(self) -> None:
        self.is_closed = True


class Waiting:
    """A batch in that queue."""

    def __init__(self, images: ImageArray) -> None:
        self._images = images

    def scores(self) -> ScoreArray:
        return scores_of(self._images)


class QueueingNetwork(Network):
    """Has such streams."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[Queue] = []

    def on_streams(self, count: int) -> Sequence[Execute]:
        self.queues = [Queue() for _ in range(count)]
        return self.queues


def test_streams_of_an_engine_with_a_queue_take_batches_ahead_for_each_other() -> None:
    network = QueueingNetwork()
    first, second = StreamGroup(network, joins_at=JOINS).members
    assert isinstance(first, QueueingServable)
    assert isinstance(second, QueueingServable)
    begun = [first.stage(images(count, count)) for count in (5, JOINS)]
    assert [queue.begun for queue in network.queues] == [[5, JOINS], []]
    for count, each in zip((5, JOINS), begun, strict=True):
        np.testing.assert_array_equal(second.execute_staged(each), scores_of(images(count, count)))


def test_too_few_for_a_stream_are_not_taken_ahead() -> None:
    network = QueueingNetwork()
    member = StreamGroup(network, joins_at=JOINS).members[0]
    assert isinstance(member, QueueingServable)
    assert (member.can_queue(JOINS), member.can_queue(JOINS - 1)) == (True, False)
    with pytest.raises(ValueError, match=f"{JOINS - 1} images, a stream takes {JOINS} or more"):
        member.stage(images(JOINS - 1))
    assert network.queues[0].begun == []


def test_streams_of_an_engine_without_a_queue_do_not(group: StreamGroup) -> None:
    assert not any(isinstance(member, StagingServable) for member in group.members)


def test_queues_are_closed_with_their_streams() -> None:
    network = QueueingNetwork()
    group = StreamGroup(network)
    group.close()
    group.close()
    assert network.is_closed
    assert all(queue.is_closed for queue in network.queues)


@pytest.mark.parametrize(
    ("cores", "largest", "is_shared"),
    [
        pytest.param(STREAMS, JOINS_AT, True, id="a core each"),
        pytest.param(STREAMS - 1, JOINS_AT, False, id="nothing to share"),
        pytest.param(STREAMS, JOINS_AT - 1, False, id="no batch would be large enough"),
    ],
)
def test_cores_are_shared_where_that_can_be(cores: int, largest: int, is_shared: bool) -> None:
    network = Network(cores)
    assert isinstance(shared(network, largest), StreamGroup) == is_shared
