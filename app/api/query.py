"""The query parameters of inference routes: what they mean, and what is wrong with them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidRequestError
from app.types import Priority

Q = TypeVar("Q", bound=BaseModel)

_MAX_SHOWN_VALUE = 80

# All that any route knows, several times over. A request line has room for 30,000, and what is
# wrong with each of them would take the event loop a tenth of a second.
_MAX_PARAMETERS = 64


_Version = Annotated[
    int | None, Field(ge=1, description="Version that answers; not together with `label`.")
]
_Label = Annotated[
    str | None, Field(description="Label of the version that answers, e.g. `stable`.")
]
_TopK = Annotated[
    int, Field(ge=1, description="Labels per image, best first: 1 to the number of classes.")
]
_TimeoutMs = Annotated[
    float | None,
    Field(
        gt=0,
        description="Deadline of the whole request, ms, from its arrival. Default and most: "
        "KERASERVE_REQUEST_TIMEOUT_MS.",
    ),
]
_Priority = Annotated[Priority, Field(description="`bulk` lets `interactive` images go before.")]


class ClassifyQuery(BaseModel):
    """Parameters of ``/v1/classify`` and ``/v1/classify/batch``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None, description="Model that answers. Default: the configured default model."
    )
    version: _Version = None
    label: _Label = None
    top_k: _TopK = 5
    timeout_ms: _TimeoutMs = None
    priority: _Priority = "interactive"


class SamplePredictQuery(BaseModel):
    """Parameters of the route that classifies a sample: its path names the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: _Version = None
    label: _Label = None
    top_k: _TopK = 5
    timeout_ms: _TimeoutMs = None
    priority: _Priority = "interactive"

    def of_model(self, name: str) -> ClassifyQuery:
        """Return the same parameters for ``/v1/classify``; what was left out still is."""
        return ClassifyQuery(model=name, **self.model_dump(exclude_unset=True))


MOST_LISTED_SAMPLES = 1000
"""About 60 kB of JSON, written in a millisecond or two: the event loop does nothing else then."""


class SamplesQuery(BaseModel):
    """Parameters of the list of samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(100, ge=1, le=MOST_LISTED_SAMPLES, description="Most samples to list.")
    offset: int = Field(0, ge=0, description="Samples to leave out at the beginning of the list.")
    label: str | None = Field(
        None, description="Class of the samples to list. Default: those of all classes."
    )


def parse_query(scope_query: bytes, schema: type[Q]) -> Q:
    """Read a query string; every parameter at most once, and no unknown one.

    Raises:
        InvalidRequestError: Names the parameter, its value, and what is allowed.
    """
    count = scope_query.count(b"&") + 1
    if count > _MAX_PARAMETERS:
        raise InvalidRequestError(
            f"There are {count:,} query parameters; the limit is {_MAX_PARAMETERS}."
        )
    pairs = parse_qsl(scope_query.decode("latin-1"), keep_blank_values=True)
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:_MAX_SHOWN_VALUE]
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
