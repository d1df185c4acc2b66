"""Requests as bytes made beforehand, and as much of a response as a measurement needs."""

from __future__ import annotations

from typing import NamedTuple

BOUNDARY = "keraserve-benchmark-boundary"
_LENGTH = b"\r\ncontent-length:"


class Head(NamedTuple):
    """What a response says about itself.

    Attributes:
        status: HTTP status.
        body_start: Where the body begins, bytes.
        length: Head and body together, bytes.
    """

    status: int
    body_start: int
    length: int


def multipart_body(filename: str, content: bytes) -> bytes:
    """Return a ``multipart/form-data`` body with one part ``file``, between ``BOUNDARY``."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def multipart_request(host: str, target: str, filename: str, content: bytes) -> bytes:
    """Return a whole ``POST``, head and body."""
    body = multipart_body(filename, content)
    head = (
        f"POST {target} HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        "Accept: */*\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def parse_head(received: bytes) -> Head | None:
    """Read the head of a response, or return None while it has not arrived whole.

    Raises:
        ValueError: The response gives no ``Content-Length``; nothing here sends chunks.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise ValueError(f"a response without Content-Length: {received[:end]!r}")
    line_end = head.find(b"\r\n", at + len(_LENGTH))
    length = int(head[at + len(_LENGTH) : line_end if line_end >= 0 else end])
    return Head(status=int(head[9:12]), body_start=end + 4, length=end + 4 + length)
