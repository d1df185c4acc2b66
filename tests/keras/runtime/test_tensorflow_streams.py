"""TensorFlow's three ways to execute on a CPU: all cores, and two parts of them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.artifacts.manifest import read_manifest
from app.errors import ArtifactError, OutOfDeviceMemoryError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.streams import JOINS_AT, STREAMS, StreamGroup
from app.runtime.tensorflow_engine import TensorFlowServable
from app.types import ImageArray, InputSpec
from tests.keras.networks import SPEC, shipped, small_network
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
    group = StreamGroup(network(threads))
    counts = [1, 20, 3, 32, 16, 2] * 5
    expected = {count: group.execute(images(count)) for count in set(counts)}
    with ThreadPoolExecutor(STREAMS) as pool:
        found = pool.map(
            lambda member: [member.execute(images(count)) for count in counts], group.members
        )
        for answers in found:
            for count, answer in zip(counts, answers, strict=True):
                np.testing.assert_allclose(answer, expected[count], atol=1e-6)
    group.close()


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


def test_what_a_session_cannot_take_is_an_error_of_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no such operation")

    one = network(2)
    monkeypatch.setattr(tf, "import_graph_def", refuse)
    with pytest.raises(ArtifactError, match="cannot be executed in parts: no such operation"):
        StreamGroup(one)
    one.close()


def test_too_little_memory_has_an_error_of_its_own_on_every_way() -> None:
    """The batcher goes on with smaller batches then."""
    image = keras.Input((1, 1, 1))
    # 10^14 floats are beyond any address space, so that no machine tries to give them.
    huge = keras.layers.UpSampling2D((10_000_000, 10_000_000))(image)
    enormous = keras.Model(image, keras.layers.GlobalMaxPooling2D()(huge))
    group = StreamGroup(TensorFlowServable(enormous, InputSpec(1, 1, 1), SIZES, threads=2))
    for each in (group, *group.members):
        with pytest.raises(OutOfDeviceMemoryError, match="no memory for a batch of 16"):
            each.execute(np.zeros((16, 1, 1, 1), np.uint8))
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
tasks = Path("/proc/self/task")

def busy():
    return {each.name: int((each / "schedstat").read_text().split()[0]) for each in tasks.iterdir()}

before = busy()
for _ in range(50):
    group.members[0].execute(images)
after = busy()
grown = sorted((after[each] - before.get(each, 0) for each in after), reverse=True)
print("threads", sum(each > 0.05 * sum(grown) for each in grown))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are told apart in /proc")
def test_a_stream_executes_on_its_share_of_the_threads_alone() -> None:
    """Of four, two: without pools of their own, sessions would take all of them."""
    process = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("TF_")},
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert int(process.stdout.split()[-1]) <= 3  # two, and the one that calls
