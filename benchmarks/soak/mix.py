"""The kinds of requests of a soak: good, bad, cancelled, oversized, and every route."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from benchmarks.pictures import picture

HOST = "Host: soak\r\n"
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
    ok = frozenset({200})
    # Overload is a right answer to whoever can be answered again: refused, not lost.
    classified = frozenset({200, 429})
    small = [_encoded(Image.fromarray(picture(seed))) for seed in range(_IMAGES)]
    photographs = _photographs()
    route = "/v1/classify"
    first = small[0]
    forms = [_post(route, *_form("file", [content])) for content in small]
    batches = [
        _post(f"{route}/batch", *_form("files", [*small[n : n + 3], b"no image"]))
        for n in range(0, 12, 3)
    ]
    usual = [_post(route, content, "image/png") for content in small]
    parameters = ("top_k=1", f"model={model}", "priority=bulk", "timeout_ms=9000", "label=stable")
    asking = [_post(f"{route}?{text}", first, "image/png") for text in parameters[:4]]
    oversized = _post(route, b"", "image/png").replace(
        b"Content-Length: 0", b"Content-Length: %d" % (max_upload_bytes + 1)
    )
    return [
        Kind("an image as the body", 450, usual, classified),
        Kind("an image in a form", 100, forms, classified),
        Kind("several images", 30, batches, classified),
        Kind("with parameters", 60, asking, classified),
        Kind(
            "a photograph",
            10,
            [_post(route, content, "application/octet-stream") for content in photographs],
            classified,
        ),
        Kind(
            "a truncated image",
            60,
            [_post(route, content[: len(content) // 2], "image/png") for content in small],
            frozenset({422, 429}),
        ),
        Kind(
            "no image",
            30,
            [_post(route, random.Random(7).randbytes(3000), "image/png")],
            frozenset({415, 422, 429}),
        ),
        Kind(
            "a wrong parameter",
            30,
            [_post(f"{route}?{text}", first, "image/png") for text in ("top_k=0", "nothing=1")],
            frozenset({422}),
        ),
        Kind(
            "an unknown model or label",
            20,
            [_post(f"{route}?{text}", first, "image/png") for text in ("model=no", "label=no")],
            frozenset({404}),
        ),
        Kind("an upload above the limit", 20, [oversized], frozenset({413}), ends_connection=True),
        Kind(
            "not HTTP",
            10,
            [b"\x16\x03\x01 nothing\r\n\r\n", usual[0].replace(b"Length: ", b"Length: -")],
            frozenset({400}),
            ends_connection=True,
        ),
        Kind("a client that leaves", 60, usual, ok, is_cancelled=True),
        Kind(
            "a client that leaves in the body",
            20,
            [content[:-100] for content in usual],
            ok,
            is_cancelled=True,
        ),
        Kind(
            "every other route",
            80,
            [_get(path) for path in _PATHS] + [_get(f"/v1/models/{model}")],
            ok,
        ),
        Kind(
            "samples",
            10,
            [
                _get(f"/v1/models/{model}/samples?limit=5"),
                _post(f"/v1/models/{model}/samples/0/predict", b"", "application/json"),
            ],
            frozenset({200, 404, 429}),
        ),
        Kind("what is not there", 20, [_get("/nowhere"), _get("/v1/models/no")], frozenset({404})),
        Kind("a wrong method", 10, [_get(route), _get("/livez", "DELETE")], frozenset({405})),
        Kind(
            "an order without a body",
            5,
            [_post("/v1/admin/canary", b"{", "application/json")],
            frozenset({400, 403, 404, 405, 422}),
        ),
    ]


_PATHS = (
    "/", "/docs", "/redoc", "/openapi.json", "/livez", "/readyz", "/healthz", "/health", "/ping",
    "/v2/health/live", "/v2/health/ready", "/metrics", "/v1/models",
)  # fmt: skip
