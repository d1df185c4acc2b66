"""Reads images out of request bodies while they arrive; nothing is written to disk.

Two kinds of body: ``multipart/form-data``, and the image itself. Each limit is checked with every
chunk, so that what is too large is refused before it has been taken in.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TypeVar

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from app.api.multipart import FilesReader, FormLimits, Upload, check_body_size, check_file_size
from app.api.single_part import boundary_of, single_part
from app.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MalformedRequestError,
    UnsupportedFormatError,
)
from app.inference.deadline import Deadline
from app.inference.policy import RequestPolicy
from app.inference.upload_budget import UploadShare

T = TypeVar("T")

_MULTIPART = "multipart/form-data"
_SINGLE_PART = "file"
_ONE_FILE_ONLY = "The request carries more than 1 file; /v1/classify/batch takes several."

# The content decides what an image is. The last one is what `curl --data-binary` says of any
# file, so it is taken for "not said"; a true form is then refused for its content.
_RAW_TYPES = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
)


async def read_image(
    request: Request, policy: RequestPolicy, deadline_s: float, share: UploadShare
) -> bytes:
    """Return the one image of a body: its part ``file``, or the body itself.

    Args:
        request: Nothing has read its body yet.
        policy: The limits.
        deadline_s: When the client has been waited for long enough, on the event loop's clock.
        share: Of the memory for uploads; takes what comes.

    Raises:
        MalformedRequestError: The body is no multipart body although its header says so.
        InvalidRequestError: No part ``file``, another part, or nothing at all.
        UploadTooLargeError: More bytes than the limit came, or are announced.
        TooManyImagesError: A second part ``file`` begins.
        UnsupportedFormatError: The header says that it is something else than an image.
        DeadlineExceededError: The body did not arrive in time.
        UploadsFullError: With those of other requests it takes more memory than they may.
        ClientDisconnect: The client left before it had sent everything.
    """
    head = _read_head(request.scope)
    if head.content_type == _MULTIPART:
        return await _within(deadline_s, _read_single(request.receive, head, policy, share))
    if not _is_image_type(head.content_type):
        raise UnsupportedFormatError(
            f"Content-Type is {head.content_type!r}; send {_MULTIPART} with the part 'file', "
            "or the image itself as image/* or application/octet-stream."
        )
    reading = _read_raw(request.receive, head, policy.max_upload_bytes, share)
    return await _within(deadline_s, reading)


def plain_image(scope: Scope, body: bytes, policy: RequestPolicy) -> bytes | None:
    """Return the one image of a body that has come, where it plainly is one; as ``read_image``.

    None where reading it takes more than that, or would end in an error.
    """
    try:
        head = _read_head(scope)
    except UnsupportedFormatError:
        return None
    content: bytes | None = body
    if head.content_type == _MULTIPART:
        content = single_part(body, head.boundary, _SINGLE_PART) if head.boundary else None
    elif not _is_image_type(head.content_type):
        return None
    return content if content and len(content) <= policy.max_upload_bytes else None


async def read_images(
    request: Request, policy: RequestPolicy, deadline_s: float, share: UploadShare
) -> list[Upload]:
    """Return the parts ``files`` of a body, at least one; otherwise as ``read_image``."""
    head = _read_head(request.scope)
    if head.content_type != _MULTIPART:
        raise UnsupportedFormatError(
            f"Content-Type is {head.content_type!r}; this route takes {_MULTIPART} with a part "
            "'files' for each image."
        )
    limits = FormLimits(
        part="files",
        max_files=policy.max_images_per_request,
        too_many=f"The request carries more than {policy.max_images_per_request:,} files "
        "(KERASERVE_MAX_IMAGES_PER_REQUEST).",
        max_file_bytes=policy.max_upload_bytes,
    )
    return await _within(deadline_s, _read_several(request.receive, head, limits, share))


def announced_bytes(scope: Scope) -> int:
    """Return how long the body will be; 0 where it is not said."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # digits: the server has read it before
    return 0


def _is_image_type(content_type: str) -> bool:
    return content_type in _RAW_TYPES or content_type.startswith("image/")


async def _within(deadline_s: float, reading: Coroutine[None, None, T]) -> T:
    try:
        with Deadline(deadline_s):
            return await reading
    except TimeoutError:
        raise DeadlineExceededError("The deadline passed before the body had arrived.") from None


@dataclass(slots=True)
class _Head:
    content_type: str  # lower case, without parameters; "" if missing
    boundary: bytes | None
    announced_bytes: int  # 0 if not said


def _read_head(scope: Scope) -> _Head:
    content_type, announced_bytes = b"", 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            announced_bytes = int(value)  # digits: the server has read it before
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedFormatError(
                f"Content-Encoding is {value.decode('latin-1')!r}; send the body as it is."
            )
    boundary = boundary_of(content_type)
    if boundary is not None:
        return _Head(_MULTIPART, boundary, announced_bytes)
    kind, options = parse_options_header(content_type)
    return _Head(kind.decode("latin-1"), options.get(b"boundary"), announced_bytes)


async def _read_single(
    receive: Receive, head: _Head, policy: RequestPolicy, share: UploadShare
) -> bytes:
    limits = _single_limits(policy.max_upload_bytes)
    boundary = _check_head(head, limits, share)
    chunk, has_more = await _next_chunk(receive, share)
    if not has_more:
        content = single_part(chunk, boundary, _SINGLE_PART)
        if content is not None:
            check_file_size(len(content), limits.max_file_bytes)
            return content
    uploads = await _read_form(receive, boundary, limits, chunk, share, has_more=has_more)
    return uploads[0].content


@functools.cache  # of a setting, not of anything that callers send
def _single_limits(max_upload_bytes: int) -> FormLimits:
    return FormLimits(_SINGLE_PART, 1, _ONE_FILE_ONLY, max_upload_bytes)


async def _read_several(
    receive: Receive, head: _Head, limits: FormLimits, share: UploadShare
) -> list[Upload]:
    boundary = _check_head(head, limits, share)
    chunk, has_more = await _next_chunk(receive, share)
    return await _read_form(receive, boundary, limits, chunk, share, has_more=has_more)


def _check_head(head: _Head, limits: FormLimits, share: UploadShare) -> bytes:
    """Return the boundary; refuse what announces too much."""
    if not head.boundary:
        raise MalformedRequestError(f"The Content-Type {_MULTIPART} has no boundary.")
    check_body_size(head.announced_bytes, limits)
    share.check(head.announced_bytes)
    return head.boundary


async def _read_form(
    receive: Receive,
    boundary: bytes,
    limits: FormLimits,
    chunk: bytes,
    share: UploadShare,
    *,
    has_more: bool,
) -> list[Upload]:
    """Take ``chunk``, which has come already, and the rest of the body."""
    reader = FilesReader(boundary, limits)
    try:
        reader.feed(chunk)
        while has_more:
            chunk, has_more = await _next_chunk(receive, share)
            reader.feed(chunk)
        return reader.finish()
    finally:
        reader.close()


async def _read_raw(receive: Receive, head: _Head, limit_bytes: int, share: UploadShare) -> bytes:
    check_file_size(head.announced_bytes, limit_bytes)
    body, has_more = await _next_chunk(receive, share)
    check_file_size(len(body), limit_bytes)
    if has_more:
        rest = io.BytesIO()
        rest.write(body)
        while has_more:
            chunk, has_more = await _next_chunk(receive, share)
            check_file_size(rest.tell() + len(chunk), limit_bytes)
            rest.write(chunk)
        body = rest.getvalue()
    if not body:
        raise InvalidRequestError(
            f"The body is empty; send an image as {_MULTIPART} in the part 'file', or as the body."
        )
    return body


async def _next_chunk(receive: Receive, share: UploadShare) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    chunk: bytes = message.get("body", b"")
    share.take(len(chunk))
    return chunk, message.get("more_body", False)
