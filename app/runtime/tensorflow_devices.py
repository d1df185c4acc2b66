"""The devices that TensorFlow executes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from app.errors import ArtifactError
from app.runtime.tensorflow_streams import let_sessions_have_threads
from app.types import EngineMemory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        name: TensorFlow's name for it.
        title: What people call it, e.g. ``NVIDIA H100``.
        is_gpu: Whether it has memory of its own.
        id: As ``KERASERVE_DEVICES`` has it, e.g. ``gpu:0``.
    """

    name: str
    title: str
    is_gpu: bool
    id: str = "cpu:0"


CPU = Device("/CPU:0", "cpu", is_gpu=False)


def configure_tensorflow(threads: int = 0) -> None:
    """Let GPU memory grow with need instead of taking all of it; before the first use only.

    Args:
        threads: Cores that one execution takes on a CPU; 0: all that the process may use. All
            networks of a process share them.
    """
    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # TensorFlow has begun with another number and keeps it
            logger.warning("number of threads left as it is", extra={"threads": threads})
    if not has_gpus():  # each would have a pool as well, of all cores
        let_sessions_have_threads()
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # devices are initialised: set by an earlier load, or too late
            logger.debug("memory growth left as it is", extra={"device": gpu.name})


def has_gpus() -> bool:
    """Whether TensorFlow sees any GPU, used or not."""
    return bool(tf.config.list_physical_devices("GPU"))


def find_devices(names: Sequence[str]) -> tuple[Device, ...]:
    """Return the devices of these names, as ``gpu:0``; of none every GPU, or the CPU.

    Raises:
        ArtifactError: TensorFlow does not see one of them.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if not names:
        return tuple(_gpu(gpu.name, index) for index, gpu in enumerate(gpus)) or (CPU,)
    cpus = tf.config.list_logical_devices("CPU")
    found = {f"gpu:{index}": _gpu(gpu.name, index) for index, gpu in enumerate(gpus)}
    found |= {
        (name := f"cpu:{index}"): Device(cpu.name, "cpu", is_gpu=False, id=name)
        for index, cpu in enumerate(cpus)
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise ArtifactError(
            f"TensorFlow sees {', '.join(sorted(found))}, not {', '.join(missing)} "
            "(KERASERVE_DEVICES)"
        )
    return tuple(found[name] for name in names)


def _gpu(name: str, index: int) -> Device:
    """Describe a GPU. Nobody divides one into several logical devices here: numbers agree."""
    physical = tf.config.list_physical_devices("GPU")[index]
    details = tf.config.experimental.get_device_details(physical)
    return Device(name, str(details.get("device_name", "GPU")), is_gpu=True, id=f"gpu:{index}")


def memory_of(device: Device) -> EngineMemory:
    """Return what TensorFlow's allocator has given out; it tells no limit. Any thread.

    Of CPUs it counts nothing, and says 0: ask of GPUs only.
    """
    found = tf.config.experimental.get_memory_info(device.name)
    return EngineMemory(found["current"], found["peak"])
