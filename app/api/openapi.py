"""What OpenAPI says beyond what FastAPI finds out: error answers, request bodies, the document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from app.access.caller import Scope
from app.api.admin_schemas import CanaryRequest, LabelRequest
from app.api.problems import KINDS, MEDIA_TYPE, ProblemKind, title_of
from app.registry.rollout_plan import ShadowPlan
from app.schemas.answers import Problem

_EXAMPLE_REQUEST_ID = "01K5Z3J8WQ4M6T2R9V7XN0BCDE"
_RAW_TYPES = (
    "image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff",
    "application/octet-stream",
)  # fmt: skip
_SCHEMA_REF = "#/components/schemas/{model}"

_PATH_PARAMETERS = {"name": "Name of the model.", "label": "Name of versions, e.g. `stable`."}

# Schemas of bodies that their routes read themselves: FastAPI does not see them.
_OWN_SCHEMAS: tuple[type[Any], ...] = (Problem, LabelRequest, CanaryRequest, ShadowPlan)

TAGS = [
    {"name": "classify", "description": "Upload images, get ranked labels."},
    {"name": "models", "description": "What is served, and what it is."},
    {"name": "samples", "description": "Labelled images of each model, to try it with."},
    {"name": "admin", "description": "Change what is served."},
    {"name": "debug", "description": "Why single requests were slow or failed."},
    {"name": "health", "description": "For load balancers, orchestrators and Prometheus."},
]

_ANSWER_HEADERS = {
    "X-Request-Id": {
        "description": "The request's own id if it is 1–128 visible ASCII characters, else made.",
        "schema": {"type": "string"},
    }
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Whole seconds after which to try again, at least 1.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_AUTHENTICATE = {
    "WWW-Authenticate": {
        "description": "How to authenticate: `Bearer`.",
        "schema": {"type": "string"},
    }
}
SERVER_TIMING = {
    "Server-Timing": {
        "description": "`decode`, `queue`, `execute` and `total`, ms.",
        "schema": {"type": "string"},
    }
}
X_CACHE = {
    "X-Cache": {
        "description": "How the image came to its scores: `hit`, kept from before; `coalesced`, of "
        "an execution that an identical image had begun; `miss`, of its own. Of several images "
        "`miss` if any was executed for this request, `hit` if all were kept. Only where the "
        "server reuses results (`KERASERVE_COALESCE`, `KERASERVE_CACHE_BYTES`).",
        "schema": {"type": "string", "enum": ["hit", "coalesced", "miss"]},
    }
}
ETAG = {
    "ETag": {
        "description": "Of the content; sent back as `If-None-Match`, it is answered with 304.",
        "schema": {"type": "string"},
    },
    "Cache-Control": {
        "description": "`private, no-cache`: it may be kept, and must be asked for again.",
        "schema": {"type": "string"},
    },
}
_RATE_LIMIT = {
    "RateLimit": {
        "description": "Where the server limits rates: for each limit the requests left, and in "
        "how many seconds there are more. With it come `RateLimit-Policy`, and the older "
        "`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.",
        "schema": {"type": "string"},
    }
}
_HEADERS_BY_STATUS = {
    401: _AUTHENTICATE,
    429: _RETRY_AFTER | _RATE_LIMIT,
    503: _RETRY_AFTER,
}

_SECURITY_NAME = "api_key"
_SECURITY_SCHEMES = {
    _SECURITY_NAME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `keraserve keys create`. Asked for only where the server has a "
        "file of keys (`KERASERVE_API_KEYS_FILE`): otherwise the answers 401 never come, and 403 "
        "only to requests that administrate and come from another machine.",
    }
}

ACCESS_CODES = ("unauthenticated", "forbidden", "rate_limited")
"""How a route that takes a key may fail for who asks."""

ADMIN_PORT_CODES = (*ACCESS_CODES, "not_found")
"""The same of a route that the admin port takes from the other one."""


def operation_id(route: APIRoute) -> str:
    """Name an operation by its function; clients that are generated take it for a method's."""
    return route.name


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route, one example per code, grouped by status."""
    by_status: dict[int | str, list[ProblemKind]] = {}
    for kind in sorted((KINDS[code] for code in codes), key=lambda kind: kind.status):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _describe(kinds) for status, kinds in by_status.items()}


def _describe(kinds: list[ProblemKind]) -> dict[str, Any]:
    status = kinds[0].status
    return {
        "description": f"{title_of(status)}: {', '.join(f'`{kind.code}`' for kind in kinds)}",
        "headers": _ANSWER_HEADERS | _HEADERS_BY_STATUS.get(status, {}),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _SCHEMA_REF.format(model=Problem.__name__)},
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: ProblemKind) -> dict[str, Any]:
    example = Problem(
        title=title_of(kind.status),
        status=kind.status,
        code=kind.code,
        detail=kind.example,
        request_id=_EXAMPLE_REQUEST_ID,
    )
    return asdict(example)


def path_parameters(*names: str) -> list[dict[str, Any]]:
    """Describe the parameters of a path whose route reads them itself."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in names
    ]


def needs_key(scope: Scope) -> dict[str, Any]:
    """Describe that a route takes a key with this scope, where keys are asked for at all."""
    return {"security": [{_SECURITY_NAME: [scope.value]}, {}]}


def form_body(part: str, description: str, is_list: bool = False) -> dict[str, Any]:
    """Describe a multipart body of one file, or of several parts with the same name."""
    file = {"type": "string", "format": "binary"}
    schema = {"type": "array", "minItems": 1, "items": file} if is_list else file
    return {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [part],
                "additionalProperties": False,
                "properties": {part: schema | {"description": description}},
            }
        }
    }


def binary_body() -> dict[str, Any]:
    """Describe a body that is the image itself."""
    return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _RAW_TYPES}


def answer_headers(*more: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Describe the headers of a route's 200."""
    headers = dict(_ANSWER_HEADERS)
    for header in more:
        headers |= header
    return {200: {"headers": headers}}


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document, built when it is first asked for; takes the place of ``openapi()``."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=TAGS,
        )
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        schemas = document["components"]["schemas"]
        for schema in _OWN_SCHEMAS:
            schemas[schema.__name__] = TypeAdapter(schema).json_schema(ref_template=_SCHEMA_REF)
        _leave_out_foreign_errors(document["paths"], schemas)
        app.openapi_schema = document
    return app.openapi_schema


def _leave_out_foreign_errors(paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    # FastAPI adds its own error to every route with a parameter; ours are described with them.
    for operations in paths.values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
