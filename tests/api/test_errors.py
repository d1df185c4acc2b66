"""Every row of the table of errors, through HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import Body
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import errors
from app.api.problems import KINDS
from app.errors import (
    ArtifactError,
    BatcherStoppedError,
    DeadlineExceededError,
    ExecutionError,
    ImageDecodeError,
    ImageTooLargeError,
    InvalidRequestError,
    MalformedRequestError,
    OutOfDeviceMemoryError,
    QueueFullError,
    ServableNotFoundError,
    ServableNotReadyError,
    ServingError,
    TooManyImagesError,
    UnsupportedFormatError,
    UploadTooLargeError,
)
from tests.api.call import Call
from tests.api.world import World, add_version, assert_problem, build, picture, serving

SECRET = "/srv/models/weights of somebody"


async def answer_to(world: World, error: Exception) -> httpx.Response:
    """Return what a client gets where a route raises ``error``."""

    async def fail(request: Request) -> Response:
        raise error

    world.app.add_api_route("/fail", fail)
    return await world.client.get("/fail")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MalformedRequestError("x"), 400, "malformed_request"),
        (ServableNotFoundError("x"), 404, "model_not_found"),
        (ServableNotFoundError("x", code="version_not_found"), 404, "version_not_found"),
        (ServableNotFoundError("x", code="label_not_found"), 404, "label_not_found"),
        (UploadTooLargeError("x"), 413, "upload_too_large"),
        (ImageTooLargeError("x"), 413, "image_too_large"),
        (TooManyImagesError("x"), 413, "too_many_images"),
        (UnsupportedFormatError("x"), 415, "unsupported_format"),
        (ImageDecodeError("x"), 422, "invalid_image"),
        (InvalidRequestError("x"), 422, "invalid_request"),
        (QueueFullError("x", retry_after_s=1), 429, "queue_full"),
        (ServableNotReadyError("x"), 503, "not_ready"),
        (BatcherStoppedError("x"), 503, "draining"),
        (DeadlineExceededError("x"), 504, "deadline_exceeded"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_error_has_its_status_and_code_and_says_what_it_says(
    world: World, error: ServingError, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    document = assert_problem(await answer_to(world, error), status, code)
    assert document["detail"] == "x"
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("error", "code", "tracebacks"),
    [
        (ValueError(SECRET), "internal", 1),
        (ServingError(SECRET), "internal", 1),
        (ArtifactError(SECRET), "internal", 1),
        # The batcher has logged the traceback of the network.
        (ExecutionError(SECRET), "execution_failed", 0),
        (OutOfDeviceMemoryError(SECRET), "execution_failed", 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_fault_of_the_server_is_told_in_the_log_and_not_to_the_client(
    world: World,
    error: Exception,
    code: str,
    tracebacks: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = await answer_to(world, error)
    document = assert_problem(response, 500, code)
    assert SECRET not in response.text
    failures = [record for record in caplog.records if record.message == "request failed"]
    assert len(failures) == 1
    assert failures[0].__dict__["request_id"] == document["request_id"]
    assert failures[0].__dict__["error"] == SECRET
    assert len([record for record in caplog.records if record.exc_info]) == tracebacks


def test_every_code_of_our_errors_is_in_the_table() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {value.code for value in classes if issubclass(value, ServingError)}
    assert codes <= set(KINDS)


@pytest.mark.parametrize(("retry_after_s", "header"), [(0.0, "1"), (1.0, "1"), (6.2, "7")])
async def test_full_queue_says_when_to_come_back_in_whole_seconds_rounded_up(
    world: World, retry_after_s: float, header: str
) -> None:
    response = await answer_to(world, QueueFullError("x", retry_after_s=retry_after_s))
    assert response.headers["retry-after"] == header


async def test_network_that_fails_on_an_image_leaves_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    good = world.puppet.behave

    def fail(images: object) -> object:
        raise ValueError(SECRET)

    world.puppet.behave = fail  # type: ignore[assignment]
    response = await world.classify()
    assert_problem(response, 500, "execution_failed")
    assert SECRET not in response.text
    assert len([record for record in caplog.records if record.exc_info]) == 1
    world.puppet.behave = good
    assert (await world.classify()).status_code == 200


async def test_unknown_path_is_named(world: World) -> None:
    assert_problem(await world.client.get("/v1/clasify"), 404, "not_found", "/v1/clasify")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/classify", "POST"),
        ("HEAD", "/v1/classify", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/readyz", "GET, HEAD"),
        ("BREW", "/metrics", "GET, HEAD"),
    ],
)
async def test_wrong_method_is_told_the_right_ones(
    world: World, method: str, path: str, allowed: str
) -> None:
    response = await world.client.request(method, path)
    assert response.headers["allow"] == allowed
    if method == "HEAD":
        assert (response.status_code, response.content) == (405, b"")
    else:
        assert_problem(response, 405, "method_not_allowed", allowed)


async def test_path_parameter_of_the_wrong_kind_is_named(world: World) -> None:
    response = await world.client.get("/v1/models/cifar10/versions/one")
    assert_problem(response, 422, "invalid_request", "version is 'one'")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [("{", 400, "malformed_request"), ('{"number": "x"}', 422, "invalid_request")],
)
async def test_broken_json_is_malformed_and_wrong_json_invalid(
    world: World, body: str, status: int, code: str
) -> None:
    async def take(number: int = Body(embed=True)) -> None:
        raise AssertionError(number)

    world.app.add_api_route("/json", take, methods=["POST"])
    headers = {"Content-Type": "application/json"}
    response = await world.client.post("/json", content=body, headers=headers)
    assert_problem(response, status, code)


async def test_error_of_a_library_keeps_its_status_and_headers(world: World) -> None:
    error = HTTPException(416, "beyond the end", {"Content-Range": "bytes */5"})
    response = await answer_to(world, error)
    assert_problem(response, 416, "invalid_request", "beyond the end")
    assert response.headers["content-range"] == "bytes */5"


async def test_failure_in_the_middle_of_an_answer_breaks_it_off(world: World) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError(SECRET)

    async def fail_late(request: Request) -> Response:
        return StreamingResponse(pieces())

    world.app.add_api_route("/late", fail_late)
    call = Call(world.app, "/late", method="GET")
    await call.end()
    assert call.status == 200
    assert not call.is_answered
    assert world.count("requests_total", route="/late", method="GET", code="500") == 1


async def test_version_that_is_known_but_not_loaded_is_not_ready(tmp_path: Path) -> None:
    folder = add_version(tmp_path, "cifar10", 1)
    (folder / "model.keras").write_bytes(b"altered")
    async with serving(tmp_path) as world:
        assert_problem(await world.classify(), 503, "not_ready", "cifar10", "model.keras")
        assert_problem(await world.classify(version=1), 503, "not_ready", "cifar10:1")


async def test_request_before_anything_is_loaded_is_not_ready(tmp_path: Path) -> None:
    add_version(tmp_path)
    app, _ = build(tmp_path)
    call = Call(app)
    call.feed(picture())
    await call.end()
    assert (call.status, call.document["code"]) == (503, "not_ready")
