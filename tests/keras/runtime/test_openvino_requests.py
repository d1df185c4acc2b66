"""Batches that are in OpenVINO's queue ahead of their turn."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino as ov
import pytest

from app.artifacts.layout import OPENVINO_MODEL
from app.runtime.openvino_requests import BegunBatch, Executor, QueueingExecutor, RequestPool
from app.runtime.streams import STREAMS
from app.types import ImageArray, ScoreArray
from tests.keras.runtime.test_openvino_engine import SHIPPED, SPEC

pytestmark = pytest.mark.keras

LARGE = 256
SIZES = (1, 4, 32, LARGE)
IN_QUEUE = 6


@pytest.fixture(scope="module")
def network() -> ov.CompiledModel:
    settings = {
        "NUM_STREAMS": STREAMS,
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": 2,
    }
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    return ov.Core().compile_model(SHIPPED / OPENVINO_MODEL, "CPU", settings)


@pytest.fixture
def pool(network: ov.CompiledModel) -> RequestPool:
    return RequestPool(network, IN_QUEUE)


@pytest.fixture
def stream(network: ov.CompiledModel, pool: RequestPool) -> Iterator[QueueingExecutor]:
    executor = QueueingExecutor(SIZES, network.create_infer_request(), pool)
    yield executor
    executor.close()


def images(count: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SPEC.shape), np.uint8)


def expect(found: ScoreArray, stream: Executor, count: int, seed: int) -> None:
    np.testing.assert_allclose(found, stream(images(count, seed)), atol=1e-6)


def test_batches_begun_ahead_have_their_own_answers(stream: QueueingExecutor) -> None:
    counts = [32, 3, 20, 1, 32, 4]
    begun = [stream.begin(images(count, seed)) for seed, count in enumerate(counts)]
    found = [each.scores() for each in begun]
    for seed, (count, scores) in enumerate(zip(counts, found, strict=True)):
        assert scores.shape == (count, 10)
        assert scores.dtype == np.float32
        expect(scores, stream, count, seed)


def test_answers_are_not_written_over_by_the_next_batch(stream: QueueingExecutor) -> None:
    first = stream.begin(images(20, 1)).scores()
    before = first.copy()
    stream.begin(images(20, 2)).scores()
    np.testing.assert_array_equal(first, before)


def test_more_than_the_queue_takes_is_refused_until_there_is_room(
    stream: QueueingExecutor,
) -> None:
    begun = [stream.begin(images(32, seed)) for seed in range(IN_QUEUE)]
    for _ in range(3):
        with pytest.raises(RuntimeError, match="as many batches are in the queue as it takes"):
            stream.begin(images(32))
    expect(stream(images(32, 9)), stream, 32, 9)  # what executes at once has its own request
    begun[0].scores()
    expect(stream.begin(images(4, 7)).scores(), stream, 4, 7)
    for each in begun[1:]:
        each.scores()
    again = [stream.begin(images(4, seed)) for seed in range(IN_QUEUE)]
    for seed, each in enumerate(again):
        expect(each.scores(), stream, 4, seed)


def test_all_requests_are_made_before_any_is_executed(network: ov.CompiledModel) -> None:
    """To make one takes as long as an execution, where no stream is idle."""
    made: list[ov.InferRequest] = []

    class Counting:
        def create_infer_request(self) -> ov.InferRequest:
            made.append(network.create_infer_request())
            return made[-1]

    stream = QueueingExecutor(
        SIZES, network.create_infer_request(), RequestPool(Counting(), IN_QUEUE)
    )
    for _ in range(3):
        begun = [stream.begin(images(4, seed)) for seed in range(IN_QUEUE)]
        begun.pop()  # dropped
        for each in begun:
            each.scores()
        stream(images(32))
    assert len(made) == IN_QUEUE
    stream.close()


def test_dropped_batches_disturb_no_others(stream: QueueingExecutor) -> None:
    for seed in range(30):
        begun: list[BegunBatch | None] = [stream.begin(images(32, seed)) for _ in range(3)]
        kept = begun.pop()
        begun.clear()  # executing, or about to
        assert kept is not None
        expect(kept.scores(), stream, 32, seed)


def test_the_place_of_a_dropped_batch_is_free_once_it_has_been_executed(
    stream: QueueingExecutor,
) -> None:
    begun = [stream.begin(images(LARGE)) for _ in range(IN_QUEUE)]
    last = begun.pop()
    begun.clear()
    with pytest.raises(RuntimeError, match="queue"):
        stream.begin(images(1))
    last.scores()
    for _ in range(STREAMS):  # what lay before it has ended by then
        stream(images(LARGE))
    again = [stream.begin(images(4, seed)) for seed in range(IN_QUEUE)]
    for seed, each in enumerate(again):
        expect(each.scores(), stream, 4, seed)


def test_closing_does_not_wait_for_what_was_dropped_but_keeps_its_memory(
    stream: QueueingExecutor,
) -> None:
    batches = [images(LARGE, seed) for seed in range(IN_QUEUE)]
    memory = [weakref.ref(batch) for batch in batches]
    begun = [stream.begin(batch) for batch in batches]
    first, last = begun[0], begun[-1]
    request = last._request
    del batches
    begun.clear()
    del last
    assert not request.wait_for(0)
    stream.close()
    assert not request.wait_for(0)
    assert memory[-1]() is not None
    del first  # after the close
    request.wait()
    for thread in threading.enumerate():
        if thread.name == "openvino dropped":
            thread.join(10)
    gc.collect()
    assert [each() for each in memory] == [None] * IN_QUEUE
    stream.close()


def test_a_batch_that_fails_in_the_queue_fails_alone(stream: QueueingExecutor) -> None:
    many, few = images(LARGE), images(4)
    for is_asked in (True, False, False, True):
        ahead = [stream.begin(many) for _ in range(STREAMS)]
        fails = stream.begin(few)
        fails._request.cancel()
        if is_asked:
            with pytest.raises(RuntimeError):
                fails.scores()
        del fails
        for each in ahead:
            each.scores()
        expect(stream.begin(images(4, 5)).scores(), stream, 4, 5)


def test_threads_begin_and_wait_side_by_side(stream: QueueingExecutor) -> None:
    def classify(seed: int) -> tuple[int, ScoreArray]:
        return seed, stream.begin(images(1 + seed % 32, seed)).scores()

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(classify, range(100)))
    for seed, scores in found:
        expect(scores, stream, 1 + seed % 32, seed)


@pytest.mark.parametrize("count", [1, 4])
def test_images_that_are_read_only_are_classified_alike(
    stream: QueueingExecutor, count: int
) -> None:
    writable = images(count, 3)
    read_only: ImageArray = writable.copy()
    read_only.flags.writeable = False
    expected = stream(writable)
    np.testing.assert_array_equal(stream(read_only), expected)
    np.testing.assert_allclose(stream.begin(read_only).scores(), expected, atol=1e-6)


def test_a_batch_that_cannot_be_begun_costs_no_place(stream: QueueingExecutor) -> None:
    wrong = np.zeros((4, 5, 7, 3), np.uint8)
    for _ in range(2 * IN_QUEUE):
        with pytest.raises(RuntimeError):
            stream.begin(wrong).scores()
    begun = [stream.begin(images(4, seed)) for seed in range(IN_QUEUE)]
    for seed, each in enumerate(begun):
        expect(each.scores(), stream, 4, seed)
