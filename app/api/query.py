"""The query parameters of inference routes: what they mean, and what is wrong with them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidRequestError
from app.types import Priority

Q = TypeVar("Q", bound=BaseModel)

_MAX_SHOWN_VALUE = 80


class ClassifyQuery(BaseModel):
    """Parameters of ``/v1/classify`` and ``/v1/classify/batch``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None, description="Model that answers. Default: the configured default model."
    )
    version: int | None = Field(
        None, ge=1, description="Version that answers; not together with `label`."
    )
    label: str | None = Field(None, description="Label of the version that answers, e.g. `stable`.")
    top_k: int = Field(
        5, ge=1, description="Labels per image, best first: 1 to the number of classes."
    )
    timeout_ms: float | None = Field(
        None,
        gt=0,
        description="Deadline of the whole request, ms, from its arrival. Default and most: "
        "KERASERVE_REQUEST_TIMEOUT_MS.",
    )
    priority: Priority = Field(
        "interactive", description="`bulk` lets `interactive` images go before."
    )


def parse_query(scope_query: bytes, schema: type[Q]) -> Q:
    """Read a query string; every parameter at most once, and no unknown one.

    Raises:
        InvalidRequestError: Names the parameter, its value, and what is allowed.
    """
    pairs = parse_qsl(scope_query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise InvalidRequestError(f"The query parameter {twice!r} is given more than once.")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequestError(_describe(first, schema.model_fields)) from None


# What a client asks for, it asks for again and again.
_KEPT_QUERIES = 256
_MAX_KEPT_BYTES = 128


@functools.lru_cache(_KEPT_QUERIES)
def _kept_classify_query(scope_query: bytes) -> ClassifyQuery:
    return parse_query(scope_query, ClassifyQuery)


def classify_query(scope_query: bytes) -> ClassifyQuery:
    """Read the query string of a classification, as ``parse_query`` does."""
    if len(scope_query) > _MAX_KEPT_BYTES:
        return parse_query(scope_query, ClassifyQuery)
    return _kept_classify_query(scope_query)


def describe_invalid(error: Mapping[str, Any]) -> str:
    """Say in one sentence what Pydantic found wrong with one value."""
    name = ".".join(str(part) for part in error["loc"] if part not in ("query", "path", "body"))
    value = repr(error["input"])[:_MAX_SHOWN_VALUE]
    return f"{name or 'The body'} is {value}: {error['msg']}."


def _describe(error: Mapping[str, Any], known: Iterable[str]) -> str:
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][0])[:_MAX_SHOWN_VALUE]
        return f"There is no query parameter {name!r}; there are: {', '.join(known)}."
    return describe_invalid(error)


def query_parameters(schema: type[BaseModel]) -> list[dict[str, Any]]:
    """Describe the parameters for OpenAPI."""
    properties = schema.model_json_schema()["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": properties[name].pop("description"),
            "schema": _parameter_schema(properties[name]),
        }
        for name in schema.model_fields
    ]


def _parameter_schema(described: dict[str, Any]) -> dict[str, Any]:
    # None means that the parameter is left out: in a query string there is no null.
    if "anyOf" in described:
        return next(kind for kind in described["anyOf"] if kind["type"] != "null")
    return {key: value for key, value in described.items() if key != "title"}
