"""Which way a batch is executed, on stand-ins for the engine's requests."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from app.runtime.openvino_engine import OpenVinoServable
from app.runtime.openvino_streams import JOINS_AT, STREAMS, StreamGroup
from app.runtime.padding import pad_to_allowed
from app.types import EngineInfo, ImageArray, ScoreArray, ServableGroup
from tests.fakes import scores_of

SIZES = (1, 4, 8)
JOINS = 4


class Request:
    """Keeps the sizes that it executes; writes every answer to the same memory, as the engine."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._memory = np.zeros((SIZES[-1], 10), np.float32)

    def infer(self, inputs: list[ImageArray], **_: bool) -> list[ScoreArray]:
        (images,) = inputs
        assert images.flags.c_contiguous
        self.sizes.append(len(images))
        self._memory[: len(images)] = scores_of(images)
        return [self._memory[: len(images)]]


class Network:
    """What a group asks of a network."""

    def __init__(self) -> None:
        self.all_cores: list[Request] = []
        self.streams: list[Request] = []
        self.is_closed = False
        self.info = EngineInfo("openvino", "float32", "cpu")
        self._own = self.create_request()

    def create_request(self) -> Request:
        self.all_cores.append(Request())
        return self.all_cores[-1]

    def compile_streams(self, count: int) -> list[Request]:
        self.streams = [Request() for _ in range(count)]
        return self.streams

    def padded(self, images: ImageArray) -> ImageArray:
        return np.ascontiguousarray(pad_to_allowed(images, SIZES))

    def execute(self, images: ImageArray) -> ScoreArray:
        return self._own.infer([self.padded(images)])[0][: len(images)].copy()

    def warm_up(self, execute: Any) -> None:
        for size in SIZES:
            execute(np.zeros((size, 2, 2, 1), np.uint8))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def group(network: Network) -> StreamGroup:
    return StreamGroup(cast(OpenVinoServable, network), joins_at=JOINS)


def images(count: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 1), np.uint8)


def test_group_has_a_member_for_each_stream(network: Network, group: StreamGroup) -> None:
    assert isinstance(group, ServableGroup)
    assert (len(group.members), group.joins_at) == (STREAMS, JOINS)
    assert len(network.streams) == STREAMS
    assert group.info == group.members[0].info == network.info
    assert StreamGroup(cast(OpenVinoServable, network)).joins_at == JOINS_AT


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
        small, large = network.all_cores[number + 1].sizes, network.streams[number].sizes
        assert (small, large) == (([padded], []) if is_small else ([], [padded]))
    assert network.all_cores[0].sizes == []


def test_each_member_has_requests_of_its_own_for_its_thread(network: Network) -> None:
    StreamGroup(cast(OpenVinoServable, network))
    assert len(network.all_cores) == 1 + STREAMS


def test_answers_are_not_written_over_by_the_next_batch(group: StreamGroup) -> None:
    for count in (2, 5):
        first = group.members[0].execute(images(count))
        group.members[0].execute(images(count, seed=1))
        np.testing.assert_array_equal(first, scores_of(images(count)))


def test_as_one_servable_all_cores_execute(network: Network, group: StreamGroup) -> None:
    np.testing.assert_array_equal(group.execute(images(8)), scores_of(images(8)))
    assert network.all_cores[0].sizes == [8]
    assert [stream.sizes for stream in network.streams] == [[], []]


def test_every_size_is_warmed_up_as_it_will_be_executed(
    network: Network, group: StreamGroup
) -> None:
    group.warm_up()
    assert [request.sizes for request in network.all_cores] == [[], [1], [1]]
    assert [stream.sizes for stream in network.streams] == [[4, 8], [4, 8]]


def test_network_is_closed_with_its_streams(network: Network, group: StreamGroup) -> None:
    group.close()
    group.close()
    assert network.is_closed
