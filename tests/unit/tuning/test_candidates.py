"""Which candidates are measured."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.runtime.host import usable_cores
from app.runtime.policy import EnginePolicy
from app.tuning.candidates import all_candidates, present_candidates


@dataclass(frozen=True)
class FakeHost:
    has_gpu: bool = False
    has_tensorflow: bool = True
    has_openvino: bool = True
    has_bfloat16: bool = True
    has_tensorflow_bfloat16: bool = False
    has_jax: bool = False
    jax_gpu_capability: tuple[int, int] | None = None
    gpu_capability: tuple[int, int] | None = None


CPU, OLD_CPU, GPU = (
    FakeHost(),
    FakeHost(has_bfloat16=False),
    FakeHost(has_gpu=True, gpu_capability=(7, 5)),
)
NEW_CPU = FakeHost(has_tensorflow_bfloat16=True)
NEW_GPU = FakeHost(has_gpu=True, gpu_capability=(9, 0))
SLIM, PLAIN = FakeHost(has_tensorflow=False), FakeHost(has_openvino=False)
OV16, OV32, TF = "openvino bfloat16", "openvino float32", "tensorflow float32"
TF16, TFH = "tensorflow bfloat16", "tensorflow float16"


def names(host: FakeHost, policy: EnginePolicy, cores: int, *, is_exported: bool) -> list[str]:
    present = present_candidates(policy, host, is_exported=is_exported)
    found, _ = all_candidates(present, host, is_exported=is_exported, cores=cores)
    return [str(candidate) for candidate in found]


@pytest.mark.parametrize(
    ("host", "policy", "cores", "is_exported", "expected"),
    [
        pytest.param(
            CPU,
            EnginePolicy(),
            2,
            True,
            [
                OV16,
                OV32,
                TF,
                f"{OV16}, 2 threads",
                f"{OV32}, 2 threads",
                f"{OV16}, 1 thread",
                f"{OV32}, 1 thread",
                f"{TF}, 1 thread",
            ],
            id="two cores",
        ),
        pytest.param(SLIM, EnginePolicy(), 1, True, [OV16, OV32], id="one core, no TensorFlow"),
        pytest.param(OLD_CPU, EnginePolicy(), 1, True, [OV32, TF], id="no bfloat16"),
        pytest.param(
            PLAIN,
            EnginePolicy(),
            6,
            True,
            [TF, f"{TF}, 4 threads", f"{TF}, 2 threads", f"{TF}, 1 thread"],
            id="no OpenVINO, and a number of cores that is no power of two",
        ),
        pytest.param(CPU, EnginePolicy(), 1, False, [TF], id="not exported"),
        pytest.param(
            GPU, EnginePolicy(), 1, True, [TFH, TF, OV16, OV32], id="a GPU: present first"
        ),
        pytest.param(
            NEW_GPU, EnginePolicy(), 1, True, [TFH, TF16, TF, OV16, OV32], id="a newer GPU"
        ),
        pytest.param(
            NEW_CPU, EnginePolicy(), 1, True, [OV16, OV32, TF16, TF], id="TensorFlow in bfloat16"
        ),
        pytest.param(
            SLIM,
            EnginePolicy("openvino", "float32", threads=3),
            1,
            True,
            [f"{OV32}, 3 threads", OV16, OV32],
            id="what is set comes first",
        ),
    ],
)
def test_everything_possible_is_measured_most_promising_first(
    host: FakeHost, policy: EnginePolicy, cores: int, is_exported: bool, expected: list[str]
) -> None:
    assert names(host, policy, cores, is_exported=is_exported) == expected


@pytest.mark.parametrize(
    ("host", "is_exported", "name", "reason"),
    [
        pytest.param(SLIM, True, TF, "TensorFlow is not installed", id="no TensorFlow"),
        pytest.param(PLAIN, True, OV32, "the openvino engine is not installed", id="no OpenVINO"),
        pytest.param(CPU, False, OV16, "was not exported", id="not exported"),
        pytest.param(OLD_CPU, True, OV16, "the processor has no bfloat16", id="no bfloat16"),
    ],
)
def test_what_is_not_possible_is_told_with_its_reason(
    host: FakeHost, is_exported: bool, name: str, reason: str
) -> None:
    _, left_out = all_candidates((), host, is_exported=is_exported, cores=1)

    assert reason in next(entry.reason for entry in left_out if entry.name == name)


def test_jax_is_measured_where_it_sees_a_gpu_and_nowhere_else() -> None:
    seeing = FakeHost(has_openvino=False, has_jax=True, jax_gpu_capability=(9, 0))
    policy = EnginePolicy("jax", "float32")
    expected = ["jax float32", TF, "jax float16", "jax bfloat16", f"{TF}, 1 thread"]
    assert names(seeing, policy, 2, is_exported=True) == expected

    blind = FakeHost(has_jax=True)
    assert "jax" not in " ".join(names(blind, EnginePolicy(), 1, is_exported=True))
    _, left_out = all_candidates((), blind, is_exported=True, cores=1)
    assert "JAX sees no GPU" in next(x.reason for x in left_out if x.name == "jax float32")


def test_settings_that_no_server_starts_with_are_compared_with_nothing() -> None:
    assert present_candidates(EnginePolicy("openvino"), PLAIN, is_exported=True) == ()


def test_there_is_a_core() -> None:
    assert usable_cores() >= 1
