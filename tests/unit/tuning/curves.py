"""Makes what would have been measured."""

from __future__ import annotations

from app.tuning.records import Candidate, Curve

OV16 = Candidate("openvino", "bfloat16")
OV32 = Candidate("openvino", "float32")
TF = Candidate("tensorflow", "float32")
OV16_1 = Candidate("openvino", "bfloat16", 1)


def curve(
    candidate: Candidate,
    ms: dict[int, float],
    *,
    factors: tuple[float, ...] = (1, 1, 1, 1),
    rounds: tuple[int, ...] | None = None,
    shared_from: int = 1,
) -> Curve:
    """What was measured: batch size to ms of an execution, times a factor in each round."""
    made = Curve(candidate, shared_from)
    for size, duration_ms in ms.items():
        for turn, factor in zip(rounds or range(1, len(factors) + 1), factors, strict=True):
            made.add(turn, size, [duration_ms * factor / 1000] * 3)
    return made
