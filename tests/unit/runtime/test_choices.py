from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.errors import ArtifactError
from app.runtime.choices import engine_choices
from app.runtime.policy import EngineName, EnginePolicy, PrecisionName, parse_devices


@dataclass(frozen=True)
class FakeHost:
    gpu_capability: tuple[int, int] | None = None
    has_tensorflow: bool = True
    has_openvino: bool = True
    has_bfloat16: bool = True
    has_tensorflow_bfloat16: bool = True
    has_jax: bool = False
    jax_gpu_capability: tuple[int, int] | None = None

    @property
    def has_gpu(self) -> bool:
        return self.gpu_capability is not None


CPU, OLD_CPU = FakeHost(), FakeHost(has_bfloat16=False, has_tensorflow_bfloat16=False)
GPU, TURING, PASCAL = FakeHost((9, 0)), FakeHost((7, 5)), FakeHost((6, 1))
SLIM = FakeHost(has_tensorflow=False)
BOTH = FakeHost(has_jax=True)  # TensorFlow and JAX, on a CPU
JAX = FakeHost(has_tensorflow=False, has_openvino=False, has_jax=True)
JAX_SLIM = FakeHost(has_tensorflow=False, has_jax=True)
JAX_GPU = FakeHost(has_jax=True, jax_gpu_capability=(9, 0))  # where TensorFlow sees none
ALL_GPU = FakeHost((9, 0), has_jax=True, jax_gpu_capability=(9, 0))
PLAIN, OLD_PLAIN = FakeHost(has_openvino=False), FakeHost(None, True, False, False, False)
TF32, TF16, TFHALF = "tensorflow float32", "tensorflow bfloat16", "tensorflow float16"
OV16, OV32 = "openvino bfloat16", "openvino float32"
J32, J16, JHALF = "jax float32", "jax bfloat16", "jax float16"


def names(choices: tuple[EnginePolicy, ...]) -> list[str]:
    return [f"{choice.engine} {choice.precision}" for choice in choices]


@pytest.mark.parametrize(
    ("host", "engine", "precision", "is_exported", "expected"),
    [
        pytest.param(CPU, "auto", "auto", True, [OV16, OV32, TF16, TF32], id="a CPU"),
        pytest.param(OLD_CPU, "auto", "auto", True, [OV32, TF32], id="a CPU without bfloat16"),
        pytest.param(SLIM, "auto", "auto", True, [OV16, OV32], id="without TensorFlow"),
        pytest.param(CPU, "auto", "auto", False, [TF16, TF32], id="a version of before"),
        pytest.param(GPU, "auto", "auto", True, [TFHALF, TF16, TF32], id="a GPU"),
        pytest.param(TURING, "auto", "auto", True, [TFHALF, TF32], id="a GPU without bfloat16"),
        pytest.param(PASCAL, "auto", "auto", True, [TF32], id="a GPU without tensor cores"),
        pytest.param(PLAIN, "auto", "auto", True, [TF16, TF32], id="without OpenVINO"),
        pytest.param(OLD_PLAIN, "auto", "auto", True, [TF32], id="nor bfloat16"),
        pytest.param(CPU, "auto", "float32", True, [OV32, TF32], id="exact"),
        pytest.param(GPU, "auto", "float32", True, [TF32], id="exact on a GPU"),
        pytest.param(CPU, "auto", "bfloat16", True, [OV16, TF16], id="bfloat16 alone"),
        pytest.param(GPU, "auto", "bfloat16", True, [TF16], id="bfloat16 alone, on a GPU"),
        pytest.param(PASCAL, "auto", "float16", True, [TFHALF], id="float16 where it is slow"),
        pytest.param(GPU, "openvino", "auto", True, [OV16, OV32], id="OpenVINO beside a GPU"),
        pytest.param(OLD_CPU, "openvino", "bfloat16", True, [OV16], id="bfloat16 emulated"),
        pytest.param(CPU, "tensorflow", "auto", True, [TF16, TF32], id="though exported"),
        pytest.param(OLD_CPU, "tensorflow", "bfloat16", True, [TF16], id="emulated by TensorFlow"),
        pytest.param(ALL_GPU, "auto", "auto", True, [TFHALF, TF16, TF32], id="both see a GPU"),
        pytest.param(JAX_GPU, "auto", "auto", True, [JHALF, J16, J32], id="JAX alone sees one"),
        pytest.param(BOTH, "auto", "auto", True, [OV16, OV32, TF16, TF32], id="JAX, no GPU"),
        pytest.param(BOTH, "auto", "auto", False, [TF16, TF32], id="TensorFlow before JAX"),
        pytest.param(JAX_SLIM, "auto", "auto", True, [OV16, OV32, J32], id="no TensorFlow"),
        pytest.param(JAX_SLIM, "auto", "auto", False, [J32], id="not exported, no TensorFlow"),
        pytest.param(JAX, "auto", "auto", True, [J32], id="JAX and nothing else"),
        pytest.param(ALL_GPU, "jax", "auto", True, [JHALF, J16, J32], id="JAX by name"),
        pytest.param(BOTH, "jax", "auto", True, [J32], id="JAX by name, on a CPU"),
        pytest.param(BOTH, "jax", "bfloat16", True, [J16], id="bfloat16 by JAX on a CPU"),
    ],
)
def test_what_is_tried(
    host: FakeHost,
    engine: EngineName,
    precision: PrecisionName,
    is_exported: bool,
    expected: list[str],
) -> None:
    policy = EnginePolicy(engine, precision, (1, 4))
    choices = engine_choices(policy, host, is_exported=is_exported)
    assert names(choices) == expected
    assert {choice.allowed_batch_sizes for choice in choices} == {(1, 4)}


@pytest.mark.parametrize(
    ("host", "precision", "expected"),
    [
        pytest.param(CPU, "auto", [OV16, OV32, TF32], id="a CPU"),
        pytest.param(CPU, "bfloat16", [OV16], id="bfloat16, by OpenVINO only"),
        pytest.param(GPU, "auto", [TF32], id="a GPU"),
    ],
)
def test_frozen_graph_is_computed_by_tensorflow_in_float32(
    host: FakeHost, precision: PrecisionName, expected: list[str]
) -> None:
    policy = EnginePolicy("auto", precision)
    choices = engine_choices(policy, host, is_exported=True, is_frozen_graph=True)
    assert names(choices) == expected


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        pytest.param(("cpu:0",), [OV16, OV32, TF16, TF32], id="the CPU"),
        pytest.param(("gpu:1",), [TFHALF, TF16, TF32], id="one of the GPUs"),
    ],
)
def test_devices_decide_whether_the_gpu_counts(
    devices: tuple[str, ...], expected: list[str]
) -> None:
    choices = engine_choices(EnginePolicy(devices=devices), GPU, is_exported=True)
    assert names(choices) == expected
    assert {choice.devices for choice in choices} == {devices}


@pytest.mark.parametrize(
    ("host", "engine", "precision", "is_exported", "named"),
    [
        pytest.param(PLAIN, "openvino", "auto", True, r"keraserve\[cpu\]", id="not installed"),
        pytest.param(CPU, "openvino", "auto", False, "models export", id="not exported"),
        pytest.param(CPU, "openvino", "float16", True, "float32 or bfloat16", id="no float16"),
        pytest.param(CPU, "tensorflow", "float16", True, "needs a GPU", id="float16 on a CPU"),
        pytest.param(CPU, "auto", "float16", True, "needs a GPU", id="nor by auto"),
        pytest.param(CPU, "jax", "auto", True, r"keraserve\[jax\]", id="JAX not installed"),
        pytest.param(BOTH, "jax", "float16", True, "needs a GPU", id="float16 by JAX on a CPU"),
    ],
)
def test_what_is_not_there_is_said(
    host: FakeHost, engine: EngineName, precision: PrecisionName, is_exported: bool, named: str
) -> None:
    with pytest.raises(ArtifactError, match=named):
        engine_choices(EnginePolicy(engine, precision), host, is_exported=is_exported)


@pytest.mark.parametrize("engine", ["auto", "tensorflow"])
def test_a_gpu_that_is_named_and_not_there_is_not_replaced(engine: EngineName) -> None:
    with pytest.raises(ArtifactError, match=r"no GPU, asked for is gpu:0 \(KERASERVE_DEVICES\)"):
        engine_choices(EnginePolicy(engine, devices=("gpu:0",)), CPU, is_exported=True)


def test_a_gpu_that_is_named_is_looked_for_by_both() -> None:
    policy = EnginePolicy(devices=("gpu:0",))
    assert names(engine_choices(policy, JAX_GPU, is_exported=True)) == [JHALF, J16, J32]
    with pytest.raises(ArtifactError, match="JAX sees no GPU, asked for is gpu:0"):
        engine_choices(EnginePolicy("jax", devices=("gpu:0",)), BOTH, is_exported=True)


def test_gpu_of_jax_does_not_count_where_the_cpu_is_named() -> None:
    policy = EnginePolicy(devices=("cpu:0",))
    assert names(engine_choices(policy, JAX_GPU, is_exported=False)) == [TF16, TF32]


def test_frozen_graph_is_not_for_jax() -> None:
    policy = EnginePolicy("auto", "auto")
    choices = engine_choices(policy, JAX_GPU, is_exported=False, is_frozen_graph=True)
    assert names(choices) == [TF32]
    with pytest.raises(ArtifactError, match="the jax engine cannot execute: use the tensorflow"):
        engine_choices(EnginePolicy("jax"), JAX_GPU, is_exported=True, is_frozen_graph=True)


def test_frozen_graph_in_another_precision_is_refused() -> None:
    with pytest.raises(ArtifactError, match="frozen graph"):
        engine_choices(
            EnginePolicy("tensorflow", "bfloat16"), CPU, is_exported=True, is_frozen_graph=True
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("auto", (), id="all there are"),
        pytest.param(" GPU:1, gpu:0", ("gpu:1", "gpu:0"), id="two, in their order"),
        pytest.param("cpu:0", ("cpu:0",), id="the CPU"),
    ],
)
def test_devices_are_read(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["gpu", "0", "gpu:0,", "tpu:0", "gpu:0,gpu:0", "cpu:0,gpu:0", ""])
def test_devices_that_are_none_are_refused_by_the_settings_name(text: str) -> None:
    with pytest.raises(ValueError, match="KERASERVE_DEVICES"):
        parse_devices(text)
