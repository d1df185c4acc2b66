"""What each method asks of the server, as a record, and how its answer is read. Pure but for files.

Both clients send these; neither knows a route.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from app.client.images import ImageSource, image_bytes, name_of
from app.schemas.answers import (
    BatchResponse,
    ClassifyResponse,
    ModelResponse,
    ModelsResponse,
    Readiness,
    Unreadiness,
    VersionResponse,
)
from app.schemas.samples import SampleEntry, SamplePredictResponse, SamplesResponse
from app.types import Priority

T = TypeVar("T")

OK = frozenset({200})
_UNREADY = 503


class ClassifyOptions(TypedDict, total=False):
    """How an image is to be classified; what is left out is the server's to decide.

    ``version`` and ``label`` exclude each other. ``timeout_ms`` is the deadline at the server,
    which drops what would be late; ``timeout_s`` of the client counts repetitions and the way.
    """

    model: str
    version: int
    label: str
    top_k: int
    timeout_ms: float
    priority: Priority


class SampleOptions(TypedDict, total=False):
    """How a sample is to be classified; as ``ClassifyOptions``, of the model that has it."""

    version: int
    label: str
    top_k: int
    timeout_ms: float
    priority: Priority


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request.

    Attributes:
        read: Makes the result of the body of an answer with one of ``statuses``.
        method: Of HTTP.
        path: Below the URL of the server.
        query: Parameters; those that are None are left out.
        content: The body itself.
        files: In place of it, the parts of a form: field, name, content.
        json: In place of both, what becomes a JSON body.
        statuses: With which the server gives what ``read`` takes.
        is_repeatable: Whether doing it twice is as good as once.
        wait_s: What the server may wait for on purpose, on top of the client's timeout.
    """

    read: Callable[[bytes], T]
    method: str
    path: str
    query: Mapping[str, str | int | float | None]
    content: bytes | None = None
    files: tuple[tuple[str, str, bytes], ...] = ()
    json: Mapping[str, Any] | None = None
    statuses: frozenset[int] = OK
    is_repeatable: bool = True
    wait_s: float = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """The content decides what format it is; the header only says that it is no form."""
        return {} if self.content is None else {"Content-Type": "application/octet-stream"}

    @property
    def parameters(self) -> dict[str, str | int | float]:
        """The parameters that are given."""
        return {name: value for name, value in self.query.items() if value is not None}


@functools.cache  # building one takes longer than a request
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _as(kind: Any) -> Callable[[bytes], Any]:
    return lambda content: _adapter(kind).validate_json(content)


def _get(kind: type[T], path: str, **query: str | int | None) -> Call[T]:
    return Call(_as(kind), "GET", path, query)


def _of_model(name: str, *rest: str | int) -> str:
    return "/".join(["/v1/models", *(quote(str(part), safe="") for part in (name, *rest))])


def classify(
    image: ImageSource,
    *,
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    top_k: int | None = None,
    timeout_ms: float | None = None,
    priority: Priority | None = None,
) -> Call[ClassifyResponse]:
    """One image; reads or encodes it here."""
    query = {
        "model": model, "version": version, "label": label,
        "top_k": top_k, "timeout_ms": timeout_ms, "priority": priority,
    }  # fmt: skip
    content = image_bytes(image)
    return Call(_as(ClassifyResponse), "POST", "/v1/classify", query, content)


def classify_batch(
    images: Iterable[ImageSource],
    *,
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    top_k: int | None = None,
    timeout_ms: float | None = None,
    priority: Priority | None = None,
) -> Call[BatchResponse]:
    """Several images; reads or encodes them here."""
    query = {
        "model": model, "version": version, "label": label,
        "top_k": top_k, "timeout_ms": timeout_ms, "priority": priority,
    }  # fmt: skip
    files = tuple(
        ("files", name_of(image, number), image_bytes(image)) for number, image in enumerate(images)
    )
    return Call(_as(BatchResponse), "POST", "/v1/classify/batch", query, files=files)


def models() -> Call[ModelsResponse]:
    """All models."""
    return _get(ModelsResponse, "/v1/models")


def model(name: str) -> Call[ModelResponse]:
    """One model."""
    return _get(ModelResponse, _of_model(name))


def version(name: str, number: int) -> Call[VersionResponse]:
    """One version with its manifest."""
    return _get(VersionResponse, _of_model(name, "versions", number))


def samples(
    name: str, *, limit: int | None = None, offset: int | None = None, label: str | None = None
) -> Call[SamplesResponse]:
    """Which labelled samples there are."""
    path = _of_model(name, "samples")
    return _get(SamplesResponse, path, limit=limit, offset=offset, label=label)


def sample_image(name: str, index: int) -> Call[bytes]:
    """The picture of a sample, as PNG."""
    return Call(bytes, "GET", _of_model(name, "samples", index, "image"), {})


def predict_sample(
    name: str,
    index: int,
    *,
    version: int | None = None,
    label: str | None = None,
    top_k: int | None = None,
    timeout_ms: float | None = None,
    priority: Priority | None = None,
) -> Call[SamplePredictResponse]:
    """A sample, classified."""
    query = {
        "version": version, "label": label,
        "top_k": top_k, "timeout_ms": timeout_ms, "priority": priority,
    }  # fmt: skip
    path = _of_model(name, "samples", index, "predict")
    return Call(_as(SamplePredictResponse), "POST", path, query)


def real(name: str, index: int) -> Call[SampleEntry]:
    """The class that the data set gives a sample."""
    return _get(SampleEntry, _of_model(name, "samples", index, "real"))


def readiness() -> Call[Readiness | Unreadiness]:
    """Whether traffic should come here."""
    read = _as(Readiness | Unreadiness)
    return Call(read, "GET", "/readyz", {}, statuses=OK | {_UNREADY})


def request_json(
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int | float | None] | None = None,
    body: Mapping[str, Any] | None = None,
    wait_s: float = 0.0,
) -> Call[dict[str, Any]]:
    """Whatever has no method of its own; only GET is repeated where it may have arrived."""
    return Call(
        _as(dict[str, Any]),
        method,
        path,
        query or {},
        json=body,
        is_repeatable=method.upper() in ("GET", "HEAD"),
        wait_s=wait_s,
    )
