"""What one request was and how it went; routes fill it, the middleware logs and counts it."""

from __future__ import annotations

import functools
import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import Scope

from app.access.limits import Visit
from app.errors import Progress
from app.inference.records import StageTiming
from app.schemas.answers import TimingEntry
from app.tracing.request_trace import RequestTrace
from app.types import ServableId

STATE_KEY = "record"
"""Where the record stands in ``scope["state"]``."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
_VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        request_id: Echoed or made; stands in every answer and log line.
        started_s: When it arrived, on ``time.perf_counter``: for durations.
        arrived_s: When it arrived, on the event loop's clock: for deadlines.
        servable: The version that answered, once one was found.
        timing: Where the time went; of several images the slowest of each stage.
        queue_position: Place of its image in the queue when it came, from 1; of several the last.
        progress: How far its image came, where it failed.
        error_code: The problem's code, where the answer is one.
        by: Who asks, where they need to say so: the name of their key, never the key.
        visit: What it holds of the limits of its caller, where there are any.
        trace: Its trace, where it is traced.
        is_trace_decided: Whether that has been decided; never where tracing is off.
    """

    request_id: str
    started_s: float
    arrived_s: float
    servable: ServableId | None = None
    timing: TimingEntry | None = None
    error_code: str | None = None
    queue_position: int | None = None
    progress: Progress | None = None
    by: str | None = None
    visit: Visit | None = None
    trace: RequestTrace | None = None
    is_trace_decided: bool = False

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return what the answer has beside its own headers, whichever way it takes."""
        headers = [(b"x-request-id", self.request_id.encode("ascii"))]
        if self.trace is not None:
            headers.append((b"traceresponse", self.trace.response_header))
        return headers if self.visit is None else headers + self.visit.headers()

    def note_progress(self, progress: Progress) -> None:
        """Take note of how far the image came, because there is no answer that tells."""
        self.progress, self.queue_position = progress, progress.queue_position

    def elapsed_s(self) -> float:
        """Return the time since the request arrived."""
        return time.perf_counter() - self.started_s


def record_of(scope: Scope) -> RequestRecord:
    """Return the record of the request being answered."""
    record = scope["state"][STATE_KEY]
    assert isinstance(record, RequestRecord)
    return record


def slowest(timings: Iterable[StageTiming]) -> StageTiming | None:
    """Return the longest time of each stage: images of one request pass them side by side."""
    timings = tuple(timings)
    if not timings:
        return None
    return StageTiming(
        max(timing.decode_s for timing in timings),
        max(timing.queue_s for timing in timings),
        max(timing.execute_s for timing in timings),
        max(timing.batch_size for timing in timings),
        max(timing.queue_position or 0 for timing in timings) or None,
    )


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's ``X-Request-Id`` if it is 1–128 visible ASCII characters, else make one.

    What is made is a ULID: 26 characters that sort by time.
    """
    for name, value in headers:
        if name == b"x-request-id":
            if _VISIBLE_ASCII.fullmatch(value):
                return value.decode("ascii")
            break
    return new_request_id()


def new_request_id() -> str:
    """Make an id: a ULID of now."""
    return make_request_id(time.time_ns() // 1_000_000, random.getrandbits(80))


def make_request_id(milliseconds: int, randomness: int) -> str:
    """Write a ULID: 48 bits of Unix time and 80 random bits in Crockford's base 32."""
    # Two characters of 5 bits per step, each of which is written out: a loop takes twice as long.
    pairs, rest = _PAIRS, randomness
    return (
        f"{_write_moment(milliseconds)}{pairs[rest >> 70]}{pairs[rest >> 60 & 0x3FF]}"
        f"{pairs[rest >> 50 & 0x3FF]}{pairs[rest >> 40 & 0x3FF]}{pairs[rest >> 30 & 0x3FF]}"
        f"{pairs[rest >> 20 & 0x3FF]}{pairs[rest >> 10 & 0x3FF]}{pairs[rest & 0x3FF]}"
    )


@functools.lru_cache(2)  # a busy server makes several in a millisecond
def _write_moment(milliseconds: int) -> str:
    return "".join([_PAIRS[milliseconds >> shift & 0x3FF] for shift in (40, 30, 20, 10, 0)])
