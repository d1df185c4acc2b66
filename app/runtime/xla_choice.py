"""Whether XLA makes a network faster on this device: measured, within a bound."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import numpy as np

from app.types import Clock, InputSpec, Servable

logger = logging.getLogger(__name__)

MOST_EXECUTIONS = 20
MOST_S = 1.0
"""Of each of the two, after the first: enough for a median on a GPU, where a batch takes
milliseconds. The first one compiles; that takes as long as it takes."""

LEAST_GAIN = 0.05
"""XLA compiles every batch size at each load: what wins less than this is not worth it."""


def choose_xla(
    build: Callable[[bool], Servable],
    spec: InputSpec,
    batch_size: int,
    clock: Clock = time.perf_counter,
) -> bool:
    """Build a servable without XLA and with it, and return whether XLA is faster. Blocks.

    Args:
        build: Builds one; told whether XLA compiles it. Both are closed again.
        spec: The input it takes.
        batch_size: What is executed: the largest allowed one, where throughput is decided.
        clock: Seconds.
    """
    plain_s = _execution_s(build(False), spec, batch_size, clock)
    try:
        xla_s = _execution_s(build(True), spec, batch_size, clock)
    except Exception as error:
        # An operation that XLA does not know, or shapes that depend on values: whatever TensorFlow
        # raises then, the network goes on without.
        logger.info("XLA cannot compile the network", extra={"reason": str(error)[:300]})
        return False
    is_faster = xla_s < plain_s * (1 - LEAST_GAIN)
    logger.info(
        "XLA measured",
        extra={
            "batch_size": batch_size,
            "plain_ms": round(plain_s * 1000, 3),
            "xla_ms": round(xla_s * 1000, 3),
            "is_chosen": is_faster,
        },
    )
    return is_faster


def _execution_s(servable: Servable, spec: InputSpec, batch_size: int, clock: Clock) -> float:
    """Return the median time of an execution, and close the servable."""
    images = np.zeros((batch_size, *spec.shape), np.uint8)
    try:
        servable.execute(images)
        taken: list[float] = []
        begin_s = clock()
        while len(taken) < MOST_EXECUTIONS and (not taken or clock() - begin_s < MOST_S):
            started_s = clock()
            servable.execute(images)
            taken.append(clock() - started_s)
    finally:
        servable.close()
    return statistics.median(taken)
