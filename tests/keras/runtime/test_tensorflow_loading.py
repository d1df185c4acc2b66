"""From a version to the tensorflow engine: precisions, devices, XLA, copies ahead."""

from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from app.artifacts.layout import SAMPLES
from app.artifacts.manifest import SelfTestTolerance, read_manifest
from app.artifacts.samples import read_samples
from app.errors import ArtifactError
from app.runtime.keras_file import load_model
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import prepare_servable
from app.runtime.self_test import run_self_test
from app.runtime.tensorflow_devices import CPU
from app.runtime.tensorflow_engine import StagedTensorFlowServable, TensorFlowServable
from app.runtime.xla_choice import choose_xla
from app.types import ImageArray, StagingServable
from tests.keras.networks import SPEC, shipped, small_network
from tests.keras.server_process import ROOT
from tests.unit.runtime.test_choices import CPU as CPU_HOST

pytestmark = pytest.mark.keras

SHIPPED = [shipped(name) for name in ("cifar10", "fashion_mnist")]


def images(count: int) -> ImageArray:
    return np.random.default_rng(count).integers(0, 256, (count, *SPEC.shape), np.uint8)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.parent.name)
def test_shipped_versions_pass_their_self_test_in_bfloat16_and_not_bit_for_bit(
    folder: Path,
) -> None:
    manifest, samples = read_manifest(folder), read_samples(folder / SAMPLES)
    servable = load_servable(folder, manifest, EnginePolicy("tensorflow", "bfloat16", (1, 64)))
    result = run_self_test(servable.execute, samples, manifest.self_test, 64)
    assert servable.info.precision == "bfloat16"
    assert 1e-4 < result.max_deviation <= manifest.self_test.max_deviation


@pytest.mark.parametrize(
    ("max_deviation", "precision"), [(0.05, "bfloat16"), (1e-4, "float32")], ids=["near", "too far"]
)
def test_bfloat16_is_chosen_where_it_passes_and_float32_where_it_does_not(
    max_deviation: float, precision: str
) -> None:
    tolerance = SelfTestTolerance(min_top1_agreement=0.99, max_deviation=max_deviation)
    manifest = read_manifest(SHIPPED[1]).model_copy(update={"self_test": tolerance})
    servable, result = prepare_servable(
        SHIPPED[1],
        manifest,
        EnginePolicy("tensorflow", "auto", (64,)),
        load_servable,
        host=CPU_HOST,
    )
    assert servable.info.precision == precision
    assert result.max_deviation <= max_deviation


def test_float32_and_bfloat16_live_in_one_process_without_touching_each_other() -> None:
    folder = SHIPPED[1]
    manifest, samples = read_manifest(folder), read_samples(folder / SAMPLES).images[:8]
    exact = load_servable(folder, manifest, EnginePolicy("tensorflow", "float32", (8,)))
    before = exact.execute(samples)
    rough = load_servable(folder, manifest, EnginePolicy("tensorflow", "bfloat16", (8,)))
    first = rough.execute(samples)
    np.testing.assert_array_equal(exact.execute(samples), before)
    np.testing.assert_array_equal(rough.execute(samples), first)


def test_two_devices_answer_from_one_queue_as_one_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.keras.runtime.logical_devices", str(SHIPPED[1])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_xla_gives_the_same_answers_where_it_is_asked_for() -> None:
    network = small_network()
    plain = TensorFlowServable(network, SPEC, (1, 4))
    compiled = TensorFlowServable(network, SPEC, (1, 4), is_xla=True)
    compiled.warm_up()
    for count in (1, 3, 4):
        np.testing.assert_allclose(
            compiled.execute(images(count)), plain.execute(images(count)), atol=1e-6
        )


def test_network_with_operations_that_xla_does_not_know_goes_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def network(images: tf.Tensor) -> tf.Tensor:
        digits = tf.strings.length(tf.strings.as_string(images[:, 0, 0, :1]))
        rows = tf.cast(digits, tf.float32)
        return tf.nn.softmax(rows * [[0.1, 0.2]])

    def build(is_xla: bool) -> TensorFlowServable:
        return TensorFlowServable(network, SPEC, (1, 4), is_xla=is_xla)

    assert build(False).execute(images(4)).shape == (4, 2)
    with caplog.at_level(logging.INFO, "app.runtime.xla_choice"):
        assert choose_xla(build, SPEC, 4) is False
    assert [record.message for record in caplog.records] == ["XLA cannot compile the network"]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_images_that_were_copied_ahead_get_the_same_answers(count: int) -> None:
    network = small_network()
    plain = TensorFlowServable(network, SPEC, (1, 4))
    servable = StagedTensorFlowServable(network, SPEC, (1, 4), device=CPU)
    staged = servable.stage(images(count))
    servable.execute(images(4))  # what executes meanwhile does not get into its way
    found = servable.execute_staged(staged)
    assert found.shape == (count, 5)
    np.testing.assert_allclose(found, plain.execute(images(count)), atol=1e-6)


def test_only_devices_with_memory_of_their_own_are_copied_to() -> None:
    network = small_network()
    staging = StagedTensorFlowServable(network, SPEC, (1,), device=CPU)
    assert isinstance(staging, StagingServable)
    assert not isinstance(TensorFlowServable(network, SPEC, (1,)), StagingServable)


def test_network_whose_weights_lead_elsewhere_is_refused_before_keras_reads_it(
    tmp_path: Path,
) -> None:
    path, weights = tmp_path / "model.keras", tmp_path / "weights.h5"
    small_network().save(path)
    load_model(path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    weights.write_bytes(content["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file["secret"] = h5py.ExternalLink("/tmp/other.h5", "/data")
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in (content | {"model.weights.h5": weights.read_bytes()}).items():
            archive.writestr(name, member)

    with pytest.raises(ArtifactError, match=r"model\.keras is refused: 'secret' is a link"):
        load_model(path)
