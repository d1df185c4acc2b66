"""What one request may ask, and what is not computed again, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """Limits of a request.

    Attributes:
        request_timeout_s: Deadline of the whole request, and the most a client may ask for.
        max_upload_bytes: Largest single file.
        max_images_per_request: Most files in one batch request.
        sticky_header: Name, lower case, of the header whose value decides whether a request that
            names no version belongs to a canary's share.
    """

    request_timeout_s: float = 10.0
    max_upload_bytes: int = 20 * 1024 * 1024
    max_images_per_request: int = 64
    sticky_header: bytes = b"x-sticky-key"


@dataclass(frozen=True, slots=True)
class RecorderPolicy:
    """Which requests are remembered one by one.

    Attributes:
        failed: So many of the last that failed by the server's fault, and by their callers'.
        slowest: So many of the slowest.
        window_s: Of this window, and of the one before.
    """

    failed: int = 50
    slowest: int = 50
    window_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """When an image needs no execution of its own.

    Attributes:
        coalesces: Identical images that are under way at one time are executed once.
        cache_bytes: What the scores of images may take that were executed before; 0 keeps none.
    """

    coalesces: bool = False
    cache_bytes: int = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is reused at all."""
        return self.coalesces or self.cache_bytes > 0
