"""The kinds of requests of a soak: good, bad, cancelled, oversized, and every route."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from benchmarks.pictures import picture

HOST = "Host: soak\r\n"
ROUTE = "/v1/classify"
OK = frozenset({200})
CLASSIFIED = frozenset({200, 429})
"""Overload is a right answer to whoever can be answered again: refused, not lost."""
_BOUNDARY = "soak"
_LARGE_PX = 900  # decoded in a thread
_IMAGES = 32


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        name: For the report.
        weight: How often it is sent, against others.
        messages: Whole requests; one of them is sent.
        right: Statuses that are right.
        ends_connection: Whether the server may close the connection behind it.
        is_cancelled: Whether the client leaves without reading the answer.
    """

    name: str
    weight: int
    messages: Sequence[bytes]
    right: frozenset[int]
    ends_connection: bool = False
    is_cancelled: bool = False


def _get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n{HOST}\r\n".encode()


def _post(path: str, body: bytes, content_type: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Content-Type: {content_type}"]
    lines += [f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n" + HOST.encode() + b"\r\n" + body


def _form(part: str, files: Sequence[bytes]) -> tuple[bytes, str]:
    pieces = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"; filename="{n}.png"'
        "\r\nContent-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for n, content in enumerate(files)
    ]
    body = b"".join(pieces) + f"--{_BOUNDARY}--\r\n".encode()
    return body, f"multipart/form-data; boundary={_BOUNDARY}"


def _encoded(pixels: Image.Image, format_name: str = "PNG") -> bytes:
    content = io.BytesIO()
    pixels.save(content, format_name)
    return content.getvalue()


def _photographs() -> list[bytes]:
    """Images that are decoded in a thread, in every format."""
    source = Image.fromarray(picture(0)).resize((_LARGE_PX, _LARGE_PX))
    return [_encoded(source, name) for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]


def kinds(model: str, max_upload_bytes: int) -> list[Kind]:
    """Return every kind, for one model in the store."""
    small = [_encoded(Image.fromarray(picture(seed))) for seed in range(_IMAGES)]
    return [
        *_good(model, small),
        *_bad(small),
        *_rude(small, max_upload_bytes),
        *_elsewhere(model),
    ]


def _good(model: str, small: Sequence[bytes]) -> Iterator[Kind]:
    """Images that are classified."""
    forms = [_post(ROUTE, *_form("file", [content])) for content in small]
    batches = [
        _post(f"{ROUTE}/batch", *_form("files", [*small[n : n + 3], b"no image"]))
        for n in range(0, 12, 3)
    ]
    parameters = ("top_k=1", f"model={model}", "priority=bulk", "timeout_ms=9000")
    asking = [_post(f"{ROUTE}?{text}", small[0], "image/png") for text in parameters]
    photographs = [_post(ROUTE, each, "application/octet-stream") for each in _photographs()]
    yield Kind("an image as the body", 450, _usual(small), CLASSIFIED)
    yield Kind("an image in a form", 100, forms, CLASSIFIED)
    yield Kind("several images", 30, batches, CLASSIFIED)
    yield Kind("with parameters", 60, asking, CLASSIFIED)
    yield Kind("a photograph", 10, photographs, CLASSIFIED)


def _bad(small: Sequence[bytes]) -> Iterator[Kind]:
    """Requests that are refused, and why."""
    halves = [_post(ROUTE, content[: len(content) // 2], "image/png") for content in small]
    noise = [_post(ROUTE, random.Random(7).randbytes(3000), "image/png")]

    def asking(*texts: str) -> list[bytes]:
        return [_post(f"{ROUTE}?{text}", small[0], "image/png") for text in texts]

    yield Kind("a truncated image", 60, halves, frozenset({422, 429}))
    yield Kind("no image", 30, noise, frozenset({415, 422, 429}))
    yield Kind("a wrong parameter", 30, asking("top_k=0", "nothing=1"), frozenset({422}))
    yield Kind("an unknown model or label", 20, asking("model=no", "label=no"), frozenset({404}))


def _rude(small: Sequence[bytes], max_upload_bytes: int) -> Iterator[Kind]:
    """What comes from clients that leave, send too much, or do not speak HTTP."""
    usual = _usual(small)
    oversized = _post(ROUTE, b"", "image/png").replace(
        b"Content-Length: 0", b"Content-Length: %d" % (max_upload_bytes + 1)
    )
    no_http = [b"\x16\x03\x01 nothing\r\n\r\n", usual[0].replace(b"Length: ", b"Length: -")]
    too_large, refused = frozenset({413}), frozenset({400})
    yield Kind("an upload above the limit", 20, [oversized], too_large, ends_connection=True)
    yield Kind("not HTTP", 10, no_http, refused, ends_connection=True)
    yield Kind("a client that leaves", 60, usual, OK, is_cancelled=True)
    begun = [content[:-100] for content in usual]
    yield Kind("a client that leaves in the body", 20, begun, OK, is_cancelled=True)


def _elsewhere(model: str) -> Iterator[Kind]:
    """All other routes."""
    others = [_get(path) for path in (*_PATHS, f"/v1/models/{model}")]
    samples = [
        _get(f"/v1/models/{model}/samples?limit=5"),
        _post(f"/v1/models/{model}/samples/0/predict", b"", "application/json"),
    ]
    order = [_post(f"/v1/admin/models/{model}/load", b"{", "application/json")]
    nowhere = [_get("/nowhere"), _get("/v1/models/no")]
    wrong = [_get(ROUTE), _get("/livez", "DELETE")]
    yield Kind("every other route", 80, others, OK)
    yield Kind("samples", 10, samples, frozenset({200, 404, 429}))
    yield Kind("what is not there", 20, nowhere, frozenset({404}))
    yield Kind("a wrong method", 10, wrong, frozenset({405}))
    yield Kind("a broken order", 5, order, frozenset({400, 403}))


def _usual(small: Sequence[bytes]) -> list[bytes]:
    return [_post(ROUTE, content, "image/png") for content in small]


_PATHS = (
    "/", "/docs", "/redoc", "/openapi.json", "/livez", "/readyz", "/healthz", "/health", "/ping",
    "/v2/health/live", "/v2/health/ready", "/metrics", "/v1/models",
)  # fmt: skip
