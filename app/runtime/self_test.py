"""Whether a servable reproduces the probabilities that training recorded."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from app.artifacts.manifest import SelfTestTolerance
from app.artifacts.samples import Samples
from app.errors import ArtifactError
from app.types import Execute

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """How close a servable came.

    Attributes:
        samples: Images that were compared.
        top1_agreement: Share of samples with the recorded first class, 0..1.
        max_deviation: Largest absolute difference of any probability.
    """

    samples: int
    top1_agreement: float
    max_deviation: float


def run_self_test(
    execute: Execute,
    samples: Samples,
    tolerance: SelfTestTolerance,
    largest_batch: int,
    least_batch: int = 1,
) -> SelfTestResult:
    """Execute every sample and compare; smaller batches than ``least_batch`` are filled with more.

    Raises:
        ArtifactError: The answers have another shape, or differ by more than the tolerance; the
            message names what was found and what is allowed.
    """
    parts = []
    for start in range(0, len(samples.images), largest_batch):
        batch = samples.images[start : start + largest_batch]
        filling = np.resize(batch, (max(0, least_batch - len(batch)), *batch.shape[1:]))
        parts.append(execute(np.concatenate([batch, filling]))[: len(batch)])
    scores = np.concatenate(parts)  # (N, K) float32
    expected = samples.probabilities
    if scores.shape != expected.shape:
        raise ArtifactError(
            f"self-test: answers have the shape {scores.shape}, recorded are {expected.shape}"
        )
    if not np.isfinite(scores).all():
        raise ArtifactError("self-test: the network answers with NaN or infinity")
    agreement = float(np.mean(scores.argmax(axis=1) == expected.argmax(axis=1)))
    deviation = float(np.abs(scores - expected).max())
    result = SelfTestResult(len(expected), agreement, deviation)
    if agreement < tolerance.min_top1_agreement or deviation > tolerance.max_deviation:
        raise ArtifactError(
            f"self-test: {agreement:.2%} of {len(expected)} samples get the recorded label "
            f"(at least {tolerance.min_top1_agreement:.2%}), largest deviation {deviation:.2g} "
            f"(at most {tolerance.max_deviation:.2g})"
        )
    return result
