"""Exported networks through OpenVINO, on CPUs; TensorFlow is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov

from app.errors import ArtifactError
from app.runtime.padding import pad_to_allowed
from app.types import EngineInfo, ImageArray, InputSpec, ScoreArray

Precision = Literal["float32", "bfloat16"]

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoServable:
    """One network, compiled once for any number of images.

    One stream with all cores: a batch is executed as fast as it can be, which is what a batcher
    with one batch at a time asks for. Several streams, each with a share of the cores, gave half
    of the images per second (``benchmarks/README.md``). A network compiled for each allowed size
    is not faster than one with an open batch axis, and needs twice the memory.
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
        core = ov.Core()
        try:
            network = core.read_model(path)
            _check(network, spec, classes)
            compiled = core.compile_model(
                network,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_PRECISION_HINT": _HINTS[precision],
                    **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
                },
            )
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ArtifactError(f"{path.name} cannot be loaded by OpenVINO: {first}") from error
        self._request: Any = compiled.create_infer_request()
        self._info = EngineInfo("openvino", precision, "cpu")

    @property
    def info(self) -> EngineInfo:
        """Engine, precision and device."""
        return self._info

    def execute(self, images: ImageArray) -> ScoreArray:
        """Classify ``(N, H, W, C)`` uint8 → ``(N, K)`` float32, rows sum to 1."""
        batch = np.ascontiguousarray(pad_to_allowed(images, self._allowed_batch_sizes))
        found = self._request.infer([batch], share_inputs=True, share_outputs=True)
        # The request's own memory is written to again by the next batch.
        scores: ScoreArray = np.array(found[0][: len(images)], np.float32)
        return scores

    def warm_up(self) -> None:
        """Execute every allowed batch size once."""
        for size in self._allowed_batch_sizes:
            self.execute(np.zeros((size, *self._spec.shape), np.uint8))

    def close(self) -> None:
        """Drop the network and its weights."""
        self._request = None


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
