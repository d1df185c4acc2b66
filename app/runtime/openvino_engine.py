"""Exported networks through OpenVINO, on CPUs; TensorFlow is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov

from app.errors import ArtifactError
from app.runtime.padding import pad_to_allowed
from app.runtime.streams import Execute
from app.types import EngineInfo, ImageArray, InputSpec, ScoreArray

Precision = Literal["float32", "bfloat16"]

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoServable:
    """One network, compiled once for any number of images.

    One stream with all cores: a batch is executed as fast as it can be, which is what a lone image
    asks for; ``StreamGroup`` adds streams that share the cores. A network compiled for each allowed
    size is not faster than one with an open batch axis, and needs twice the memory
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
        self._compiled: Any = self._compile(NUM_STREAMS=1, PERFORMANCE_HINT="LATENCY")
        self._request: Any = self._compiled.create_infer_request()
        self._info = EngineInfo("openvino", precision, "cpu")

    @property
    def cores(self) -> int:
        """Cores that one execution takes."""
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS"))

    def on_all_cores(self) -> Execute:
        """Return what executes for one more thread, on all cores."""
        return partial(self._execute_by, self._compiled.create_infer_request())

    def on_streams(self, count: int) -> list[Execute]:
        """Compile for ``count`` executions at a time, each with its share of the cores.

        Raises:
            ArtifactError: It cannot be compiled so.
        """
        compiled = self._compile(
            NUM_STREAMS=count,
            INFERENCE_NUM_THREADS=self.cores,
            PERFORMANCE_HINT="THROUGHPUT",
            # Each on a core of its own: left to the system, both can stand in line for one core
            # while another has nothing to do.
            ENABLE_CPU_PINNING=True,
        )
        return [partial(self._execute_by, compiled.create_infer_request()) for _ in range(count)]

    def _compile(self, **properties: Any) -> Any:
        try:
            return self._core.compile_model(self._network, "CPU", self._properties | properties)
        except RuntimeError as error:
            raise _refused(self._name, error) from error

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        return self._execute_by(self._request, images)

    def warm_up(self, execute: Execute | None = None) -> None:
        """Execute every allowed batch size once; by ``execute``, if it is given."""
        for size in self._allowed_batch_sizes:
            (execute or self.execute)(np.zeros((size, *self._spec.shape), np.uint8))

    def close(self) -> None:
        """Drop the network and its weights."""
        self._request = self._compiled = self._network = None

    def _execute_by(self, request: Any, images: ImageArray) -> ScoreArray:
        batch = np.ascontiguousarray(pad_to_allowed(images, self._allowed_batch_sizes))
        found = request.infer([batch], share_inputs=True, share_outputs=True)
        # The request's own memory is written to again by the next batch.
        scores: ScoreArray = np.array(found[0][: len(images)], np.float32)
        return scores


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
