"""Responses as they are sent."""

from __future__ import annotations

from typing import NamedTuple

from starlette.responses import Response


class WrittenResponse(NamedTuple):
    """A whole response, but for its first line and what every answer begins with.

    Attributes:
        status: Its status.
        rest: Its own headers, a blank line, and its body.
    """

    status: int
    rest: bytes


def write_response(response: Response) -> WrittenResponse:
    """Write what a response has of its own."""
    content: list[bytes] = []
    for name, value in response.raw_headers:
        content += (name, b": ", value, b"\r\n")
    content += (b"\r\n", bytes(response.body))
    return WrittenResponse(response.status_code, b"".join(content))
