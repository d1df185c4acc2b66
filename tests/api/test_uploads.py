"""What is refused, with which code, and that others do not notice."""

from __future__ import annotations

import gc
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.accounts import RequestAccounts
from app.api.flight_recorder import FlightRecorder
from app.api.middleware import LingerPolicy, RequestMiddleware
from app.api.multipart import FilesReader
from app.inference.policy import RecorderPolicy
from app.metrics import Metrics
from tests.api.call import Call
from tests.api.world import World, assert_problem, picture, serving, until
from tests.factories.images import encode, huge_png, noise_image

FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("content", "status", "code", "detail"),
    [
        (encode(noise_image(40, 40), "PNG")[:-200], 422, "invalid_image", ("PNG",)),
        (b"this is a text file", 415, "unsupported_format", ("PNG", "JPEG", "TIFF")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format", ()),
        (
            huge_png(30_000, 30_000),
            413,
            "image_too_large",
            ("900,000,000", "50,000,000", "KERASERVE_MAX_IMAGE_PIXELS"),
        ),
        (b"", 422, "invalid_request", ("empty",)),
    ],
    ids=["truncated", "text", "svg", "30,000 x 30,000", "empty"],
)
async def test_bad_image_is_refused_both_ways_and_others_go_on(
    world: World, content: bytes, status: int, code: str, detail: tuple[str, ...]
) -> None:
    assert_problem(await world.classify(content), status, code, *detail)
    response = await world.client.post("/v1/classify", files={"file": ("a.png", content)})
    assert_problem(response, status, code, *detail)
    assert (await world.classify()).status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "detail"),
    [
        (picture(), "text/plain", 415, "unsupported_format", ("'text/plain'", "image/*")),
        (b"{}", "application/json", 415, "unsupported_format", ("'application/json'", "'file'")),
        (picture(), "multipart/mixed; boundary=b", 415, "unsupported_format", ("form-data",)),
        (picture(), "multipart/form-data", 400, "malformed_request", ("boundary",)),
        (picture(), FORM, 400, "malformed_request", ()),
        (b"", FORM, 400, "malformed_request", ("closing boundary",)),
        (PART + picture(), FORM, 400, "malformed_request", ("closing boundary",)),
        (b"--b--", FORM, 422, "invalid_request", ("'file'",)),
        (PART + b"\r\n--b--", FORM, 422, "invalid_request", ("empty",)),
        (
            PART.replace(b"file", b"image", 1) + b"x\r\n--b--",
            FORM,
            422,
            "invalid_request",
            ("'image'", "'file'"),
        ),
        (
            PART + b"x\r\n" + PART + b"x\r\n--b--",
            FORM,
            413,
            "too_many_images",
            ("/v1/classify/batch",),
        ),
        (b"file=a.png", "application/x-www-form-urlencoded", 415, "unsupported_format", ()),
    ],
)
async def test_bad_body_is_refused_with_what_is_accepted(
    world: World,
    body: bytes,
    content_type: str,
    status: int,
    code: str,
    detail: tuple[str, ...],
) -> None:
    headers = {"Content-Type": content_type}
    response = await world.client.post("/v1/classify", content=body, headers=headers)
    assert_problem(response, status, code, *detail)


async def test_compressed_body_is_refused(world: World) -> None:
    headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    response = await world.client.post("/v1/classify", content=picture(), headers=headers)
    assert_problem(response, 415, "unsupported_format", "'gzip'")


@pytest.mark.parametrize("is_form", [False, True], ids=["body", "form"])
async def test_file_of_the_largest_size_is_taken_and_one_byte_more_is_not(
    tmp_path: Path, is_form: bool
) -> None:
    content = picture()
    detail = (f"{len(content) + 1:,}", f"{len(content):,}", "KERASERVE_MAX_UPLOAD_BYTES")
    async with serving(tmp_path, max_upload_bytes=len(content)) as world:

        async def upload(content: bytes) -> httpx.Response:
            if is_form:
                return await world.client.post("/v1/classify", files={"file": content})
            return await world.classify(content)

        assert (await upload(content)).status_code == 200
        assert_problem(await upload(content + b"\0"), 413, "upload_too_large", *detail)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/v1/classify", "image/png"), ("/v1/classify", FORM), ("/v1/classify/batch", FORM)],
)
async def test_announced_size_is_refused_before_anything_is_read(
    world: World, path: str, content_type: str
) -> None:
    headers = {"content-type": content_type, "content-length": str(64 * 21 * 1024 * 1024)}
    call = Call(world.app, path, headers=headers)
    call.feed(b"", has_more=False)
    await call.end()
    assert (call.status, call.document["code"]) == (413, "upload_too_large")
    assert "KERASERVE_MAX_UPLOAD_BYTES" in call.document["detail"]


@pytest.mark.parametrize(
    ("content_type", "head"), [("image/png", b""), (FORM, PART)], ids=["body", "form"]
)
async def test_unannounced_size_is_counted_while_it_arrives(
    tmp_path: Path, content_type: str, head: bytes
) -> None:
    async with serving(tmp_path, max_upload_bytes=1000) as world:
        headers = {"content-type": content_type, "transfer-encoding": "chunked"}
        call = Call(world.app, headers=headers)
        call.feed(head + bytes(600), has_more=True)
        call.feed(bytes(600), has_more=True)
        call.feed(bytes(600), has_more=False)
        await call.end()
        assert (call.status, call.document["code"]) == (413, "upload_too_large")


async def test_body_in_many_chunks_is_put_together(world: World) -> None:
    content = picture()
    call = Call(world.app)
    for byte in content[:-1]:
        call.feed(bytes([byte]), has_more=True)
    call.feed(content[-1:])
    await call.end()
    assert call.status == 200


async def test_refused_body_is_read_to_its_end_before_the_connection_closes(
    world: World,
) -> None:
    call = Call(world.app, headers={"content-length": str(100 * 1024 * 1024)})
    await until(lambda: len(call.sent) == 2)
    assert call.status == 413
    assert call.headers["connection"] == "close"
    assert call.document["code"] == "upload_too_large"
    assert not call.is_answered  # the answer is there in full, the connection still open
    for _ in range(3):
        call.feed(bytes(1000), has_more=True)
    call.feed(b"")
    await call.end()
    assert call.is_answered
    assert call.unread == 0


@pytest.mark.parametrize(
    "policy",
    [LingerPolicy(total_s=60, idle_s=0.02), LingerPolicy(total_s=0.02, idle_s=60)],
    ids=["client that stops sending", "client that never ends"],
)
async def test_connection_is_not_kept_for_long_for_a_refused_body(policy: LingerPolicy) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("no", 413)(scope, receive, send)

    metrics = Metrics(CollectorRegistry(), (1,))
    app = RequestMiddleware(
        refuse, RequestAccounts(metrics, FlightRecorder(RecorderPolicy())), policy
    )
    call = Call(app, headers={"transfer-encoding": "chunked"})
    call.feed(bytes(1000), has_more=True)
    await call.end()
    assert call.is_answered
    assert call.headers["connection"] == "close"


async def test_client_that_leaves_while_its_refused_body_is_dropped_ends_it(world: World) -> None:
    call = Call(world.app, headers={"content-length": str(100 * 1024 * 1024)})
    call.feed(bytes(1000), has_more=True)
    call.leave()
    await call.end()
    assert call.status == 413


async def test_small_refused_body_keeps_the_connection(world: World) -> None:
    call = Call(world.app, headers={"content-type": "text/plain", "content-length": "5000"})
    await call.end()
    assert call.status == 415
    assert "connection" not in call.headers
    assert call.is_answered


@pytest.mark.parametrize(
    ("rest", "query", "status"),
    [
        (b"\r\n--b--\r\n", "", 200),
        (b"\r\n--b", "", 400),
        (b"\r\n--b\r\n?", "", 400),
        (b"\r\n" + PART, "", 413),
        (b"\r\n--b--\r\n", "timeout_ms=0.000001", 504),
        (None, "", None),
    ],
    ids=["answered", "cut off", "malformed", "too many", "late", "left"],
)
async def test_body_of_a_form_is_let_go_without_the_garbage_collector(
    world: World, rest: bytes | None, query: str, status: int | None
) -> None:
    """It counts objects: between two of its rounds, thousands of bodies would pile up."""
    gc.collect()
    gc.disable()
    try:
        call = Call(world.app, headers={"content-type": FORM}, query=query)
        call.feed(PART + picture(), has_more=True)
        if rest is None:
            call.leave()
        else:
            call.feed(rest)
        await call.end()
        assert (call.status if call.sent else None) == status
        assert not [each for each in gc.get_objects() if isinstance(each, FilesReader)]
    finally:
        gc.enable()
