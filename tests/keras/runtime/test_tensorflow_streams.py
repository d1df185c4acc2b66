"""TensorFlow's three ways to execute on a CPU: all cores, and two parts of them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from app.artifacts.manifest import read_manifest
from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.streams import JOINS_AT, StreamGroup
from app.runtime.tensorflow_engine import TensorFlowServable
from app.types import ImageArray, ScoreArray
from tests.keras.networks import SPEC, shipped, small_network
from tests.keras.runtime.side_by_side import expect_members_side_by_side
from tests.keras.server_process import ROOT

pytestmark = pytest.mark.keras

SIZES = (1, 4, 16, 32)


def network(threads: int) -> TensorFlowServable:
    return TensorFlowServable(small_network(), SPEC, SIZES, threads=threads)


def images(count: int) -> ImageArray:
    return np.random.default_rng(count).integers(0, 256, (count, *SPEC.shape), np.uint8)


@pytest.mark.parametrize("threads", [2, 3, 4], ids=["a core each", "three", "two cores each"])
@pytest.mark.parametrize("count", [1, 3, JOINS_AT - 1, JOINS_AT, 20, 32])
def test_all_ways_give_the_same_answers(threads: int, count: int) -> None:
    group = StreamGroup(network(threads))
    expected = group.execute(images(count))
    assert expected.shape == (count, 5)
    for member in group.members:
        np.testing.assert_allclose(member.execute(images(count)), expected, atol=1e-6)
    group.close()


@pytest.mark.parametrize("threads", [2, 4], ids=["one session", "a session each"])
def test_members_execute_side_by_side_what_is_their_own(threads: int) -> None:
    expect_members_side_by_side(StreamGroup(network(threads)), images)


def test_answers_are_not_written_over_by_the_next_batch() -> None:
    group = StreamGroup(network(2))
    first = group.members[0].execute(images(20))
    before = first.copy()
    group.members[0].execute(images(32))
    np.testing.assert_array_equal(first, before)
    group.close()


@pytest.mark.parametrize(
    ("threads", "sizes", "xla", "is_shared"),
    [
        pytest.param(2, SIZES, "auto", True, id="two cores"),
        pytest.param(1, SIZES, "auto", False, id="one core has nothing to share"),
        pytest.param(2, (1, 4, 8), "auto", False, id="no batch would be large enough"),
        pytest.param(2, SIZES, "on", False, id="what XLA compiles stays with it"),
    ],
)
def test_cores_are_shared_where_that_can_be(
    threads: int, sizes: tuple[int, ...], xla: str, is_shared: bool
) -> None:
    folder = shipped("fashion_mnist")
    policy = EnginePolicy("tensorflow", "float32", sizes, threads=threads, xla=xla)  # type: ignore[arg-type]
    servable = load_servable(folder, read_manifest(folder), policy)
    assert isinstance(servable, StreamGroup) == is_shared
    assert servable.info.engine == "tensorflow"
    servable.close()


def test_what_sessions_cannot_execute_is_executed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise tf.errors.UnimplementedError(None, None, "no such operation")

    one = network(2)
    closed: list[int] = []
    close = tf.compat.v1.Session.close

    def note(session: tf.compat.v1.Session) -> None:
        closed.append(id(session))  # not itself: it is called as one is dropped, too
        close(session)

    monkeypatch.setattr(tf.compat.v1.Session, "make_callable", lambda *_, **__: refuse)
    monkeypatch.setattr(tf.compat.v1.Session, "close", note)
    with pytest.raises(ArtifactError, match="two executions at a time are not possible: no such"):
        StreamGroup(one)
    assert len(set(closed)) == 1  # its weights are not kept beside those that are executed
    one.close()
    folder = shipped("fashion_mnist")
    policy = EnginePolicy("tensorflow", "float32", SIZES, threads=2)
    servable = load_servable(folder, read_manifest(folder), policy)
    assert isinstance(servable, TensorFlowServable)
    assert servable.execute(np.zeros((20, 28, 28, 1), np.uint8)).shape == (20, 10)
    servable.close()


def test_too_little_memory_has_an_error_of_its_own_on_a_stream_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The batcher goes on with smaller batches then."""
    seen: list[int] = []

    def call(batch: ImageArray) -> ScoreArray:
        seen.append(len(batch))
        if len(seen) > 1:  # the session is tried once when the network is loaded
            raise tf.errors.ResourceExhaustedError(None, None, "no room")
        return np.zeros((len(batch), 5), np.float32)

    monkeypatch.setattr(tf.compat.v1.Session, "make_callable", lambda *_, **__: call)
    group = StreamGroup(network(2))
    with pytest.raises(OutOfDeviceMemoryError, match="no memory for a batch of 16"):
        group.members[0].execute(images(16))
    assert seen == [32, 16]
    group.close()


_SCRIPT = """
import os, sys
from pathlib import Path
from app.artifacts.manifest import read_manifest
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
import numpy as np

folder = max(Path("models/fashion_mnist").glob("[0-9]*"), key=lambda path: int(path.name))
policy = EnginePolicy("tensorflow", "float32", (1, 32), threads=4)
group = load_servable(folder, read_manifest(folder), policy)
group.warm_up()
images = np.zeros((32, 28, 28, 1), np.uint8)

def busy():
    \"\"\"Nanoseconds that each thread has executed, but for those that begin operations.\"\"\"
    tasks = [each for each in Path("/proc/self/task").iterdir() if int(each.name) != os.getpid()]
    return {
        each.name: int((each / "schedstat").read_text().split()[0])
        for each in tasks
        if not (each / "comm").read_text().startswith("tf_")
    }

def working(execute):
    before = busy()
    for _ in range(50):
        execute(images)
    # One that waits for work spins for a moment.
    return {each for each, ns in busy().items() if ns - before.get(each, 0) > 2e6}

group.execute(images)
whole, first, second = map(working, (group.execute, *(m.execute for m in group.members)))
print("threads", len(whole - first), len(first - whole), len(first & second))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are told apart in /proc")
def test_a_stream_executes_on_its_share_of_the_threads_alone() -> None:
    """Of four, two of its own: with one pool for the process, sessions would take all of them."""
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("TF_")},
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert process.stdout.split()[-3:] == ["4", "2", "0"]
