"""What executes networks, as a frozen record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

EngineName = Literal["auto", "tensorflow", "openvino", "jax"]
NumberFormat = Literal["float32", "bfloat16", "float16"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]
XlaChoice = Literal["auto", "on", "off"]

_DEVICE = re.compile(r"(?:cpu|gpu):(?:0|[1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Choice of engine, precision and devices.

    Attributes:
        engine: ``auto`` takes TensorFlow where it sees a GPU, else JAX where that sees one, else
            OpenVINO where that is installed and the version was exported for it, else TensorFlow,
            else JAX.
        precision: ``auto`` is the fastest one that passes the self-test.
        allowed_batch_sizes: The sizes that ``execute`` pads to, ascending, images.
        threads: Cores that one execution takes on a CPU; 0 is the engine's own choice.
        devices: Of the tensorflow and jax engines, as ``gpu:0``; none: every GPU, or the CPU.
        xla: Whether the tensorflow engine compiles with XLA; ``auto``: on GPUs, where it is
            measured to be faster.
    """

    engine: EngineName = "auto"
    precision: PrecisionName = "auto"
    allowed_batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    threads: int = 0
    devices: tuple[str, ...] = ()
    xla: XlaChoice = "auto"

    @property
    def names_gpu(self) -> bool:
        """Whether GPUs are asked for by name."""
        return any(device.startswith("gpu") for device in self.devices)

    @property
    def may_use_gpu(self) -> bool:
        """Whether a GPU is used where there is one."""
        return self.names_gpu or not self.devices


def parse_devices(text: str) -> tuple[str, ...]:
    """Read ``auto`` or names such as ``gpu:0,gpu:1``.

    Returns:
        The names in lower case, in their order; none for ``auto``.

    Raises:
        ValueError: Names the value and the setting.
    """
    names = [name.strip().lower() for name in text.split(",")]
    if names == ["auto"]:
        return ()
    for name in names:
        if not _DEVICE.fullmatch(name):
            raise ValueError(
                f"{name!r} is no device; auto, or names such as gpu:0,gpu:1 (KERASERVE_DEVICES)"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{text} names a device twice (KERASERVE_DEVICES)")
    if len({name.partition(":")[0] for name in names}) > 1:
        raise ValueError(f"{text} names CPUs and GPUs; they differ too much (KERASERVE_DEVICES)")
    return tuple(names)
