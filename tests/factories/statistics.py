"""Makes reference statistics; nothing of them is measured."""

from __future__ import annotations

from typing import Any

from app.artifacts.statistics import Distribution, HeldOutStatistics, ReferenceStatistics


def tenths(lowest: float, highest: float) -> Distribution:
    """Ten bins of equal width and equal share."""
    width = (highest - lowest) / 10
    return Distribution(
        edges=tuple(lowest + width * number for number in range(1, 10)), shares=(0.1,) * 10
    )


def make_statistics(classes: int = 3, channels: int = 3, **changes: Any) -> ReferenceStatistics:
    """Balanced classes, brightness spread evenly over 0..255; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "images": 5000,
        "class_shares": (1 / classes,) * classes,
        "mean_confidence": 0.95,
        "held_out": HeldOutStatistics(
            images=1000, mean_confidence=0.75, confidence=tenths(0.5, 1.0)
        ),
        "channel_means": (127.5,) * channels,
        "channel_spreads": (74.0,) * channels,
        "image_means": (tenths(0, 255),) * channels,
    }
    return ReferenceStatistics.model_validate(fields | changes)
