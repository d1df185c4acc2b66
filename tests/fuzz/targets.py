"""What takes bytes from outside, each as a function of bytes that raises if a promise is broken.

The same functions are run over the corpus by the tests, under hypothesis, and by the fuzzer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Message, Scope

from app.api.multipart import FilesReader, FormLimits
from app.api.query import (
    ClassifyQuery,
    SamplePredictQuery,
    SamplesQuery,
    classify_query,
    parse_query,
)
from app.api.single_part import single_part
from app.api.uploads import plain_image, read_image, read_images
from app.artifacts.labelled_samples import read_labelled_samples, read_own_samples
from app.artifacts.layout import MANIFEST
from app.artifacts.manifest import read_manifest
from app.artifacts.samples import read_samples
from app.errors import ArtifactError, ClientFaultError
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.vp8l import count_alpha_tables, count_tables
from app.inference.policy import RequestPolicy
from app.inference.upload_budget import UploadBudget
from app.types import InputSpec

T = TypeVar("T")

IMAGING = ImagingPolicy(max_image_pixels=4_000_000)
SPECS = (
    InputSpec(16, 16, 3),
    InputSpec(8, 12, 1, "pad", "nearest"),
    InputSpec(28, 28, 3, "crop", "lanczos"),
)
# Far above the limit of the service: that a slow machine fails it says nothing, and what would take
# seconds is found all the same.
_TOO_LONG_S = 20 * IMAGING.max_decode_ms / 1000

BOUNDARY = b"x-boundary"
_FORM = FormLimits(part="file", max_files=1, too_many="too many", max_file_bytes=4_000)
_FILES = FormLimits(part="files", max_files=3, too_many="too many", max_file_bytes=4_000)
_REQUESTS = RequestPolicy(max_upload_bytes=4_000, max_images_per_request=3)
_FAR_S = 1e9

_IMAGE_CODES = {"invalid_image", "unsupported_format", "image_too_large", "invalid_request"}


def decode(data: bytes) -> None:
    """Any bytes are an image or an error of the client's, in bounded time."""
    spec = SPECS[len(data) % len(SPECS)]
    start_s = time.thread_time()
    code = None
    try:
        image = decode_image(data, spec, IMAGING)
    except ClientFaultError as error:
        code = error.code
    else:
        assert image.pixels.shape == spec.shape
        assert image.width * image.height <= IMAGING.max_image_pixels
    assert code is None or code in _IMAGE_CODES
    assert time.thread_time() - start_s < _TOO_LONG_S


def tables(data: bytes) -> None:
    """Any lossless WebP stream tells how many tables it brings, or is not followed."""
    counted = (count_tables(data), count_alpha_tables(data, 1 + len(data), 40))
    assert all(count is None or count >= 1 for count in counted)


def multipart(data: bytes) -> None:
    """However a body is cut into pieces, it has the same files, or is refused; so by every way."""
    body = b"--" + BOUNDARY + data
    for limits in (_FORM, _FILES):
        whole = _files_of(limits, [body])
        assert _files_of(limits, _pieces(body, 1 + len(data) % 7)) == whole
        assert whole is None or len(whole) <= limits.max_files
    found = _files_of(_FORM, [body])
    short = single_part(body, BOUNDARY, "file")
    assert short is None or found == [short]


def body(data: bytes) -> None:
    """A request with any type and any body gives its image, or an error of the client's.

    The first line of ``data`` is the ``Content-Type``, the rest the body.
    """
    content_type, _, content = data.partition(b"\n")
    if b"\r" in content_type or b"\0" in content_type:  # the server refuses them
        return
    headers = [(b"content-type", content_type.strip())]
    scope: Scope = {"type": "http", "method": "POST", "headers": headers, "path": "/"}
    one = _read(read_image, scope, content)
    assert one is None or 0 <= len(one) <= _REQUESTS.max_upload_bytes
    several = _read(read_images, scope, content)
    assert several is None or 1 <= len(several) <= _REQUESTS.max_images_per_request
    short = plain_image(scope, content, _REQUESTS)
    assert short is None or short == one


def query(data: bytes) -> None:
    """Any query string has the parameters of a route, within their bounds, or is refused."""
    for schema in (ClassifyQuery, SamplePredictQuery, SamplesQuery):
        try:
            found = parse_query(data, schema)
        except ClientFaultError:
            continue
        assert schema.model_validate(found.model_dump()) == found
    try:
        classified = classify_query(data)
    except ClientFaultError:
        return
    assert classified.top_k >= 1
    assert classified.timeout_ms is None or classified.timeout_ms > 0
    assert classified == classify_query(data)


def manifest(data: bytes) -> None:
    """Any manifest is refused with its reason, or can be written and read again, and shown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MANIFEST).write_bytes(data)
        try:
            found = read_manifest(folder)
        except ArtifactError:
            return
        (folder / MANIFEST).write_text(found.to_json(), encoding="utf-8")
        assert read_manifest(folder) == found
        json.dumps(found.model_dump(mode="json"), allow_nan=False)


def samples(data: bytes) -> None:
    """Any file of samples is refused with its reason, or is what samples must be."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "samples.npz"
        path.write_bytes(data)
        for read in (
            read_samples,
            read_labelled_samples,
            lambda path: read_own_samples(path, ("cat", "dog", "frog")),
        ):
            with contextlib.suppress(ArtifactError):
                found = read(path)
                assert found is None or len(found) == len(found.images)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (decode, tables, multipart, body, query, manifest, samples)
}


def _files_of(limits: FormLimits, pieces: list[bytes]) -> list[bytes] | None:
    reader = FilesReader(BOUNDARY, limits)
    try:
        for piece in pieces:
            reader.feed(piece)
        return [upload.content for upload in reader.finish()]
    except ClientFaultError:
        return None
    finally:
        reader.close()


def _pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def _refuse(outcome: str) -> None:
    raise AssertionError(outcome)  # one request of some kilobytes


def _read(read: Callable[..., Coroutine[Any, Any, T]], scope: Scope, content: bytes) -> T | None:
    """Drive a reader whose messages are all there: it never waits."""
    pieces: Iterator[bytes] = iter(_pieces(content, 1_000) or [b""])
    left = len(_pieces(content, 1_000)) or 1

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(pieces), "more_body": left > 0}

    async def run() -> T | None:
        with contextlib.suppress(ClientFaultError), UploadBudget(1 << 30).share(_refuse) as share:
            return await read(Request(scope, receive), _REQUESTS, _FAR_S, share)
        return None

    return asyncio.run(run())
