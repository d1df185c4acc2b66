"""Batches that are in OpenVINO's queue ahead of their turn."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino as ov
import pytest

from app.artifacts.layout import OPENVINO_MODEL
from app.runtime.openvino_requests import BegunBatch, Executor, FreeRequests, QueueingExecutor
from app.types import ImageArray, ScoreArray
from tests.keras.runtime.test_openvino_engine import SHIPPED, SPEC

pytestmark = pytest.mark.keras

SIZES = (1, 4, 32)


class Compiled:
    """A compiled network that counts its requests."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled = compiled
        self.requests = 0

    def create_infer_request(self) -> ov.InferRequest:
        self.requests += 1
        return self._compiled.create_infer_request()


@pytest.fixture(scope="module")
def network() -> ov.CompiledModel:
    settings = {"NUM_STREAMS": 2, "PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": 2}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    return ov.Core().compile_model(SHIPPED / OPENVINO_MODEL, "CPU", settings)


@pytest.fixture
def compiled(network: ov.CompiledModel) -> Compiled:
    return Compiled(network)


@pytest.fixture
def stream(compiled: Compiled, network: ov.CompiledModel) -> Iterator[QueueingExecutor]:
    executor = QueueingExecutor(SIZES, network.create_infer_request(), FreeRequests(compiled))
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


def test_as_many_requests_are_made_as_batches_lie_in_the_queue_at_a_time(
    stream: QueueingExecutor, compiled: Compiled
) -> None:
    for seed in range(10):
        begun = [stream.begin(images(32, seed)), stream.begin(images(3, seed))]
        for each in begun:
            each.scores()
        del begun, each
    assert compiled.requests == 2


def test_dropped_batches_disturb_no_others(stream: QueueingExecutor, compiled: Compiled) -> None:
    for seed in range(30):
        begun: list[BegunBatch | None] = [stream.begin(images(32, seed)) for _ in range(3)]
        kept = begun.pop()
        begun.clear()  # executing, or about to
        assert kept is not None
        expect(kept.scores(), stream, 32, seed)
    assert compiled.requests <= 2 * 3


def test_a_dropped_batch_is_not_waited_for(stream: QueueingExecutor, compiled: Compiled) -> None:
    many = [stream.begin(images(32)) for _ in range(8)]
    made = compiled.requests
    many.pop()  # the last in the queue
    next_one = stream.begin(images(1))
    assert compiled.requests == made + 1, "another one, instead of the one that will be executed"
    expect(next_one.scores(), stream, 1, 0)
    for each in many:
        each.scores()


def test_closing_waits_for_what_was_dropped(network: ov.CompiledModel, compiled: Compiled) -> None:
    stream = QueueingExecutor(SIZES, network.create_infer_request(), FreeRequests(compiled))
    many = [stream.begin(images(32)) for _ in range(8)]
    requests = [each._request for each in many]
    many.clear()
    stream.close()
    assert all(request.wait_for(0) for request in requests)
    stream.close()


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


def test_a_batch_that_fails_says_so_and_the_next_one_does_not(
    stream: QueueingExecutor,
) -> None:
    wrong = np.zeros((4, 5, 7, 3), np.uint8)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            stream.begin(wrong).scores()
        dropped = stream.begin(images(4))
        del dropped
        expect(stream.begin(images(4, 5)).scores(), stream, 4, 5)
