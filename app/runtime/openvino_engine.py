"""Exported networks through OpenVINO, on CPUs; TensorFlow is not imported."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov

from app.errors import ArtifactError
from app.runtime.openvino_requests import Executor, QueueingExecutor, RequestPool
from app.types import EngineInfo, Execute, ImageArray, InputSpec, ScoreArray

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]

_ALL_CORES = {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoServable:
    """One network, compiled once for any number of images, and once for a lone one.

    One stream with all cores: a batch is executed as fast as it can be; ``StreamGroup`` adds
    streams that share the cores. A network compiled for a lone image takes a tenth less time for
    it, as no shape is worked out anew; of larger batches that is nothing
    (``benchmarks/README.md``).
    """

    def __init__(
        self,
        path: Path,
        spec: InputSpec,
        classes: int,
        allowed_batch_sizes: Sequence[int],
        precision: Precision,
        *,
        threads: int = 0,
    ) -> None:
        """Read and compile.

        Args:
            path: ``model.xml``, with ``model.bin`` beside it; nothing in them is executed.
                ``(N, H, W, C)`` uint8, 0..255, in; ``(N, K)`` float32 probabilities out.
            spec: What the manifest says of the input.
            classes: K.
            allowed_batch_sizes: Ascending, images.
            precision: Number format of the arithmetic.
            threads: Cores that one execution takes; 0: each physical one that the process may
                use. A container's share of the processor time is not looked at.

        Raises:
            ArtifactError: It is no such network, or cannot be compiled for this processor.
        """
        self._allowed_batch_sizes = tuple(allowed_batch_sizes)
        self._spec = spec
        self._core = ov.Core()
        self._properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if threads:
            self._properties["INFERENCE_NUM_THREADS"] = threads
        try:
            self._network: Any = self._core.read_model(path)
            _check(self._network, spec, classes)
        except RuntimeError as error:
            raise _refused(path.name, error) from error
        self._name = path.name
        self._compiled: Any = self._compile(self._network, **_ALL_CORES)
        self._lone: Any = self._compile_lone(path) if self._allowed_batch_sizes[0] == 1 else None
        self._execute: Execute | None = self.on_all_cores()
        self._info = EngineInfo("openvino", precision, "cpu")

    @property
    def cores(self) -> int:
        """Cores that one execution takes."""
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS"))

    def on_all_cores(self) -> Execute:
        """Return what executes for one more thread, on all cores."""
        lone = None if self._lone is None else self._lone.create_infer_request()
        return Executor(self._allowed_batch_sizes, self._compiled.create_infer_request(), lone)

    def on_streams(self, count: int) -> list[Execute]:
        """Compile for ``count`` executions at a time, each with its share of the cores.

        Raises:
            ArtifactError: It cannot be compiled so.
        """
        compiled = self._compile(
            self._network,
            NUM_STREAMS=count,
            INFERENCE_NUM_THREADS=self.cores,
            PERFORMANCE_HINT="THROUGHPUT",
            # Each on a core of its own: left to the system, both can stand in line for one core
            # while another has nothing to do.
            ENABLE_CPU_PINNING=True,
        )
        # Each stream executes one and has one ahead; two more for what nobody waits for any more.
        pool = RequestPool(compiled, 2 * count + 2)
        return [
            QueueingExecutor(self._allowed_batch_sizes, compiled.create_infer_request(), pool)
            for _ in range(count)
        ]

    def _compile_lone(self, path: Path) -> Any:
        """Compile for one image; None where the network does not go with a fixed batch axis."""
        try:
            network = self._core.read_model(path)
            network.reshape([1, *self._spec.shape])
        except RuntimeError as error:
            logger.info("no network for a lone image", extra={"reason": str(error)[:300]})
            return None
        return self._compile(network, **_ALL_CORES)

    def _compile(self, network: Any, **properties: Any) -> Any:
        try:
            return self._core.compile_model(network, "CPU", self._properties | properties)
        except RuntimeError as error:
            raise _refused(self._name, error) from error

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        assert self._execute is not None, "what is closed is not called"
        return self._execute(images)

    def warm_up(self, execute: Execute | None = None) -> None:
        """Execute every allowed batch size once; by ``execute``, if it is given."""
        for size in self._allowed_batch_sizes:
            (execute or self.execute)(np.zeros((size, *self._spec.shape), np.uint8))

    def close(self) -> None:
        """Drop the network and its weights."""
        self._execute = self._compiled = self._lone = self._network = None


def _refused(name: str, error: RuntimeError) -> ArtifactError:
    first = str(error).strip().splitlines()[-1]
    return ArtifactError(f"{name} cannot be loaded by OpenVINO: {first}")


def _check(network: ov.Model, spec: InputSpec, classes: int) -> None:
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ArtifactError(
            f"the exported network has {len(network.inputs)} inputs and {len(network.outputs)} "
            "outputs, must have one of each"
        )
    takes, gives = network.inputs[0], network.outputs[0]
    found = f"{takes.get_partial_shape()} {takes.get_element_type().get_type_name()}"
    wanted = f"[?,{spec.height},{spec.width},{spec.channels}] u8"
    if found != wanted:
        raise ArtifactError(f"the exported network takes {found}, the manifest says {wanted}")
    found = f"{gives.get_partial_shape()} {gives.get_element_type().get_type_name()}"
    wanted = f"[?,{classes}] f32"
    if found != wanted:
        raise ArtifactError(f"the exported network gives {found}, the manifest says {wanted}")
