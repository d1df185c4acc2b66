"""How much memory uploads may take, all requests together."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.errors import UploadsFullError, UploadTooLargeError

# Uploads end when their clients have sent them: nothing tells when.
_RETRY_AFTER_S = 1.0


class UploadBudget:
    """Counts the bytes of bodies from when they come until their requests are answered.

    Whether an image is still on its way, waits to be decoded or waits in a queue, its body is in
    memory. Bodies that are as short as the express lane wants them are not counted.

    Loop: everything runs on the event loop.
    Bound: ``limit_bytes``, and what comes in one piece (64 KiB and a buffer of the socket's) for
        each request that is refused by it.

    Attributes:
        limit_bytes: Of all requests together.
        held_bytes: By them now.
    """

    __slots__ = ("held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        """Begin with nothing held."""
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def share(self, count: Callable[[str], None]) -> UploadShare:
        """Return the part of one request, which is given back when its ``with`` ends.

        Args:
            count: Is told the outcome of a refused request, which counts as one image.
        """
        return UploadShare(self, count)


class UploadShare:
    """The part of one request in an ``UploadBudget``."""

    __slots__ = ("_budget", "_count", "_held_bytes")

    def __init__(self, budget: UploadBudget, count: Callable[[str], None]) -> None:
        """Hold nothing yet."""
        self._budget = budget
        self._count = count
        self._held_bytes = 0

    def __enter__(self) -> Self:
        """Begin with nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give everything back, however the request ends."""
        self._budget.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def take(self, piece_bytes: int) -> None:
        """Note that a piece of the body has come.

        Raises:
            UploadTooLargeError: No request may hold as much alone.
            UploadsFullError: All together hold too much with it.
        """
        self._held_bytes += piece_bytes
        self._budget.held_bytes += piece_bytes
        if self._budget.held_bytes > self._budget.limit_bytes:
            self.check(self._held_bytes)
            self._count("queue_full")
            raise UploadsFullError(
                f"Uploads take {self._budget.held_bytes:,} bytes with this one, the limit is "
                f"{self._budget.limit_bytes:,} (KERASERVE_MAX_PENDING_UPLOAD_BYTES).",
                retry_after_s=_RETRY_AFTER_S,
            )

    def check(self, body_bytes: int) -> None:
        """Refuse a body that is too large even where there is no other.

        Raises:
            UploadTooLargeError: It is.
        """
        if body_bytes > self._budget.limit_bytes:
            raise UploadTooLargeError(
                f"The request has {body_bytes:,} bytes; the limit for all that are under way is "
                f"{self._budget.limit_bytes:,} (KERASERVE_MAX_PENDING_UPLOAD_BYTES)."
            )
