"""What the service tells of a request that is traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ExecutionTimes:
    """One execution of a batch.

    Attributes:
        started_s: When it began, on ``time.monotonic``.
        duration_s: What it took, s.
        images: Those that it was of.
        padded: Rows of filling beside them.
    """

    started_s: float
    duration_s: float
    images: int
    padded: int


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """One batch in which images of traced requests were executed; times on ``time.monotonic``.

    Attributes:
        servable: Whose batch it was, ``name:version``.
        taken_s: When the device took it.
        finished_s: When the last of its executions ended.
        waiting: The traced images: each with its trace, and when it was queued. Not empty.
        executions: Those that gave scores.
        failed: Images that got no scores.
    """

    servable: str
    taken_s: float
    finished_s: float
    waiting: Sequence[tuple[RequestTrace, float]]
    executions: Sequence[ExecutionTimes]
    failed: int


class RequestTrace(Protocol):
    """The trace of one request: told of its stages when they are over.

    Loop: used on one event loop; nothing waits. Spans are handed over to a thread that sends them,
    and dropped where more come than it can send.
    """

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def response_header(self) -> bytes:
        """Value of the header ``traceresponse`` of the answer."""
        ...

    def decoded(self, duration_s: float, format_name: str) -> None:
        """Tell that an image has just been decoded, in ``duration_s``."""
        ...

    def batch_executed(self, batch: BatchTimes) -> None:
        """Tell of a batch that this is the first trace of; the others need not be told."""
        ...

    def end(
        self, name: str, attributes: Mapping[str, str | int | float], *, is_error: bool
    ) -> None:
        """Tell that the request has been answered.

        Args:
            name: Method and route.
            attributes: Of the request and its answer.
            is_error: Whether it failed for the server's reasons.
        """
        ...
