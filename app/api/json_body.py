"""Small JSON bodies: read within a limit, and checked against their schema."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from app.api.query import describe_invalid
from app.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MalformedRequestError,
    UploadTooLargeError,
)

S = TypeVar("S", bound=BaseModel)

LIMIT_BYTES = 64 * 1024
"""A hundred times what any of these documents needs."""


async def read_json(request: Request, schema: type[S], timeout_s: float) -> S:
    """Return the body as its schema has it.

    Args:
        request: Nothing has read its body yet.
        schema: What it must be.
        timeout_s: How long to wait for it.

    Raises:
        DeadlineExceededError: It did not arrive in time.
        UploadTooLargeError: It has more than ``LIMIT_BYTES``.
        MalformedRequestError: It is no JSON.
        InvalidRequestError: A field is missing, unknown or out of range; says which.
        ClientDisconnect: The client left before it had sent everything.
    """
    try:
        async with asyncio.timeout(timeout_s):
            body = await _read(request)
    except TimeoutError:
        raise DeadlineExceededError("The deadline passed before the body had arrived.") from None
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise MalformedRequestError(f"The body is no JSON: {first['msg']}.") from None
        if first["type"] == "extra_forbidden":
            known = ", ".join(schema.model_fields)
            raise InvalidRequestError(
                f"There is no field {str(first['loc'][0])!r}; there are: {known}."
            ) from None
        raise InvalidRequestError(describe_invalid(first)) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    has_more = True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > LIMIT_BYTES:
            raise UploadTooLargeError(
                f"The body has at least {len(body):,} bytes; the limit is {LIMIT_BYTES:,}."
            )
    return bytes(body)


def json_body(schema: type[BaseModel]) -> dict[str, Any]:
    """Describe such a body for OpenAPI."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"required": True, "content": {"application/json": {"schema": reference}}}
