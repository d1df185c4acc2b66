"""What is told of a version that failed, and when it is tried again."""

from __future__ import annotations

import asyncio
import re

from app.errors import ArtifactError, ServingError

_FIRST_RETRY_S, _LAST_RETRY_S = 30.0, 3600.0
"""After a failure that is not the version's own, such as too little memory; doubled each time."""


def retry_delay_s(error: BaseException, failures: int) -> float | None:
    """Return after how long to try again though nothing has changed; None for never.

    Args:
        error: What is wrong. With the files it is so until they change; all else may pass.
        failures: How many there were in a row, this one included.
    """
    if isinstance(error, ArtifactError):
        return None
    return min(_FIRST_RETRY_S * 2.0 ** (failures - 1), _LAST_RETRY_S)


def reason_of(error: BaseException) -> tuple[str, BaseException | None]:
    """Return what callers may read of an error, and what the log has to say more, or None."""
    if isinstance(error, ServingError):
        return str(error), None
    if isinstance(error, asyncio.CancelledError):
        return "loading was cancelled", None
    # The text of a foreign exception is not known to be fit for callers.
    return f"{type(error).__name__}, see the log of the server", error


def without_numbers(reason: str) -> str:
    """Return what stays the same while a version is being copied and fails with ever more bytes."""
    return re.sub(r"[0-9][0-9,.]*", "0", reason)
