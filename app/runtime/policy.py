"""What executes networks, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["auto", "tensorflow", "openvino"]
PrecisionName = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Choice of engine and precision.

    Attributes:
        engine: ``auto`` takes TensorFlow where it sees a GPU, else OpenVINO where that is installed
            and the version was exported for it, else TensorFlow.
        precision: ``auto`` is the fastest one that passes the self-test.
        allowed_batch_sizes: The sizes that ``execute`` pads to, ascending, images.
        threads: Cores that one execution takes on a CPU; 0 is the engine's own choice.
    """

    engine: EngineName = "auto"
    precision: PrecisionName = "auto"
    allowed_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    threads: int = 0
