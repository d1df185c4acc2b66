"""What executes networks, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Choice of engine and precision.

    Attributes:
        engine: ``auto`` takes TensorFlow, on a GPU where it sees one.
        precision: ``auto`` is float32.
        allowed_batch_sizes: The sizes that ``execute`` pads to, ascending, images.
    """

    engine: Literal["auto", "tensorflow"] = "auto"
    precision: Literal["auto", "float32"] = "auto"
    allowed_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
