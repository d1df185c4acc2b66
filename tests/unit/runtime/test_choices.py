from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.errors import ArtifactError
from app.runtime.choices import engine_choices
from app.runtime.policy import EngineName, EnginePolicy, PrecisionName


@dataclass(frozen=True)
class FakeHost:
    has_gpu: bool = False
    has_tensorflow: bool = True
    has_openvino: bool = True
    has_bfloat16: bool = True


CPU, OLD_CPU = FakeHost(), FakeHost(has_bfloat16=False)
GPU = FakeHost(has_gpu=True)
SLIM = FakeHost(has_tensorflow=False)
PLAIN = FakeHost(has_openvino=False)
TF, OV16, OV32 = "tensorflow float32", "openvino bfloat16", "openvino float32"


@pytest.mark.parametrize(
    ("host", "engine", "precision", "is_exported", "expected"),
    [
        pytest.param(CPU, "auto", "auto", True, [OV16, OV32, TF], id="a CPU"),
        pytest.param(OLD_CPU, "auto", "auto", True, [OV32, TF], id="a CPU without bfloat16"),
        pytest.param(SLIM, "auto", "auto", True, [OV16, OV32], id="without TensorFlow"),
        pytest.param(CPU, "auto", "auto", False, [TF], id="a version of before"),
        pytest.param(GPU, "auto", "auto", True, [TF], id="a GPU"),
        pytest.param(PLAIN, "auto", "auto", True, [TF], id="without OpenVINO"),
        pytest.param(CPU, "auto", "float32", True, [OV32, TF], id="exact"),
        pytest.param(CPU, "auto", "bfloat16", True, [OV16], id="bfloat16 and nothing else"),
        pytest.param(GPU, "openvino", "auto", True, [OV16, OV32], id="OpenVINO beside a GPU"),
        pytest.param(OLD_CPU, "openvino", "bfloat16", True, [OV16], id="bfloat16 emulated"),
        pytest.param(CPU, "tensorflow", "auto", True, [TF], id="TensorFlow though exported"),
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
    assert [f"{choice.engine} {choice.precision}" for choice in choices] == expected
    assert {choice.allowed_batch_sizes for choice in choices} == {(1, 4)}


@pytest.mark.parametrize(
    ("host", "engine", "precision", "is_exported", "named"),
    [
        pytest.param(PLAIN, "openvino", "auto", True, r"keraserve\[cpu\]", id="not installed"),
        pytest.param(CPU, "openvino", "auto", False, "models export", id="not exported"),
        pytest.param(CPU, "tensorflow", "bfloat16", True, "KERASERVE_PRECISION", id="no bfloat16"),
        pytest.param(CPU, "auto", "bfloat16", False, "KERASERVE_PRECISION", id="nor by auto"),
    ],
)
def test_what_is_not_there_is_said(
    host: FakeHost, engine: EngineName, precision: PrecisionName, is_exported: bool, named: str
) -> None:
    with pytest.raises(ArtifactError, match=named):
        engine_choices(EnginePolicy(engine, precision), host, is_exported=is_exported)
