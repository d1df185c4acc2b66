"""The response of the busiest routes."""

from __future__ import annotations

from pydantic import TypeAdapter
from starlette.responses import Response

from app.api.entries import image_entry, prediction_entries, timing_entry
from app.api.record import RequestRecord
from app.inference.records import Classification
from app.inference.shared_task import Reuse
from app.schemas.answers import ClassifyResponse, TimingEntry
from app.types import ServableId

_WRITE_ANSWER = TypeAdapter(ClassifyResponse).serializer.to_json


class AnswerResponse(Response):
    """JSON that is written already, with where its time went.

    As a plain response, whose headers take longer to make from strings than the JSON itself.
    """

    def __init__(self, body: bytes, timing: str, reuse: Reuse | None = None) -> None:
        """Take what is to be sent.

        Args:
            body: UTF-8.
            timing: For the header ``Server-Timing``, ASCII.
            reuse: For the header ``X-Cache``, where results are used again.
        """
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"server-timing", timing.encode("ascii")),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
        ]
        if reuse is not None:
            self.raw_headers.append((b"x-cache", reuse.encode("ascii")))


def server_timing(timing: TimingEntry | None, total_ms: float) -> str:
    """Write the durations as a ``Server-Timing`` header has them; None: only the total is known."""
    total = f"total;dur={total_ms}"
    if timing is None:
        return total
    return (
        f"decode;dur={timing.decode_ms}, queue;dur={timing.queue_ms}, "
        f"execute;dur={timing.execute_ms}, {total}"
    )


def answer_response(
    record: RequestRecord, servable: ServableId, answer: Classification
) -> AnswerResponse:
    """Answer a request for one image, and note in its record how it went.

    Args:
        record: Of the request.
        servable: Who answered.
        answer: What it answered.
    """
    timing = timing_entry(answer.timing, record.elapsed_s())
    record.servable, record.timing = servable, timing
    record.queue_position = answer.timing.queue_position
    body = ClassifyResponse(
        request_id=record.request_id,
        model=servable.name,
        version=servable.version,
        predictions=prediction_entries(answer),
        image=image_entry(answer),
        timing=timing,
    )
    stages = server_timing(timing, timing.total_ms)
    return AnswerResponse(_WRITE_ANSWER(body), stages, answer.reuse)
