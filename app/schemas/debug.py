"""The JSON about single requests, for those who ask why one was slow."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

_EXAMPLE: JsonDict = {
    "request_id": "01K5Z3J8WQ4M6T2R9V7XN0BCDE",
    "started_at": "2026-11-26T08:00:00.123456Z",
    "route": "/v1/classify",
    "method": "POST",
    "status": 200,
    "error": None,
    "model": "cifar10",
    "version": 4,
    "total_ms": 31.4,
    "decode_ms": 0.2,
    "queue_ms": 19.8,
    "execute_ms": 10.9,
    "rest_ms": 0.5,
    "companions": 63,
    "queue_position": 102,
}


class RequestEntry(BaseModel):
    """One request: what it was, where its time went, and with whom. What is not known is null."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    request_id: str = Field(description="As in its answer and in the log.")
    started_at: datetime = Field(description="When it arrived, UTC.")
    route: str = Field(description="Path of its route.")
    method: str
    status: int = Field(description="HTTP status of its answer; 499: the client left before.")
    error: str | None = Field(description="Code of its problem document.")
    model: str | None
    version: int | None = Field(description="Version that it was for.")
    total_ms: float = Field(description="From its arrival to its answer.")
    decode_ms: float | None = Field(
        description="Bytes to pixels. Of several images, here and below, the longest."
    )
    queue_ms: float | None = Field(
        description="From the queue to the device; of one that failed there, until it failed."
    )
    execute_ms: float | None = Field(
        description="The batch on the device; of one that failed there, until it failed."
    )
    rest_ms: float = Field(description="What is left: receiving, waiting to be decoded, answering.")
    companions: int | None = Field(description="Other images in the same execution.")
    queue_position: int | None = Field(
        description="Its place in the queue when it came; 1: nobody waited before it."
    )


class DebugRequestsResponse(BaseModel):
    """Requests that somebody may ask about."""

    window_s: float = Field(description="`slowest` goes back one to two of these, s.")
    slowest: list[RequestEntry] = Field(description="Answered classifications, slowest first.")
    failed: list[RequestEntry] = Field(
        description="The last that failed, the last one first; refusals (429) are not among them."
    )
