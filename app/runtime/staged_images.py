"""A batch that lies on a device, until it is executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
"""What the engine has for arrays on the device."""


@dataclass(frozen=True, slots=True)
class StagedImages(Generic[T]):
    """Images on the device, or on their way to it.

    Attributes:
        batch: ``(allowed size, H, W, C)`` uint8.
        count: How many of them are no filling.
    """

    batch: T
    count: int
