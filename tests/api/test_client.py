"""The client, sync and async, against a real server."""

from __future__ import annotations

import inspect
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import app.client as package
from app.access.caller import Scope
from app.access.keys_file import create_key
from app.client import (
    AnswerTimeoutError,
    AsyncClient,
    Client,
    ConnectionFailedError,
    InvalidRequestError,
    ModelNotFoundError,
    ProblemError,
    QueueFullError,
    RouteNotFoundError,
    SampleNotFoundError,
    UnauthenticatedError,
    UnsupportedFormatError,
    VersionNotFoundError,
)
from app.schemas.answers import BatchFailure, BatchSuccess, ClassifyResponse
from app.types import ServableState
from tests.api.live_server import LiveServer, listening
from tests.api.world import PATIENCE_S, World, picture

pytestmark = pytest.mark.timeout(60)

SETTINGS = {"store_watch": "off", "keep_warm_s": 0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with listening(tmp_path, **SETTINGS) as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def test_image_is_classified_as_asked(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(picture())

    found = client.classify(file, model="cifar10", version=1, top_k=2, priority="bulk")

    assert (found.model, found.version, len(found.predictions)) == ("cifar10", 1, 2)
    assert found.predictions[0].score >= found.predictions[1].score
    assert (found.image.format, found.image.width) == ("PNG", 4)
    assert found.timing.total_ms > 0
    assert client.classify(picture()).predictions[:2] == found.predictions


def test_batch_has_an_entry_for_each_image_in_order(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "b.png"
    path.write_bytes(picture(2))

    found = client.classify_batch([picture(1), path, b"text"], top_k=1)

    assert (found.succeeded, found.failed) == (2, 1)
    assert [entry.filename for entry in found.results] == ["image-0", "b.png", "image-2"]
    first, second, third = found.results
    assert isinstance(first, BatchSuccess)
    assert isinstance(second, BatchSuccess)
    assert len(first.predictions) == len(second.predictions) == 1
    assert isinstance(third, BatchFailure)
    assert third.error.code == "unsupported_format"


def test_what_is_served_is_told(client: Client) -> None:
    (model,) = client.models().models
    assert model.name == client.models().default == "cifar10"
    assert client.model("cifar10").versions[0].state is ServableState.AVAILABLE
    version = client.version("cifar10", 1)
    assert version.manifest is not None
    assert version.manifest.classes == ("cat", "dog", "frog")


def test_errors_are_of_the_class_of_their_code(client: Client) -> None:
    with pytest.raises(UnsupportedFormatError, match="not a known image") as raised:
        client.classify(b"text")
    assert raised.value.status == 415
    assert raised.value.request_id
    with pytest.raises(InvalidRequestError, match="top_k"):
        client.classify(picture(), top_k=99)
    with pytest.raises(ModelNotFoundError):
        client.model("nobody")
    with pytest.raises(VersionNotFoundError):
        client.classify(picture(), version=9)
    with pytest.raises(RouteNotFoundError):
        client.request_json("GET", "/v1/nothing")


def test_readiness_is_told_with_its_reasons(client: Client, server: LiveServer) -> None:
    assert client.is_ready()
    client.wait_until_ready(PATIENCE_S)
    server.lifecycle.begin_drain()
    assert not client.is_ready()
    found = client.readiness()
    assert found.status == "unready"
    assert found.reasons == ["draining"]


def test_full_queue_is_an_error_that_says_when(tmp_path: Path) -> None:
    limits = {"max_batch_size": 1, "max_queue_size": 1, "max_images_per_request": 1}
    with listening(tmp_path, **SETTINGS, **limits) as server:
        puppet = server.puppets["cifar10:1"]
        puppet.hold()
        refusals: list[QueueFullError] = []
        answers: list[ClassifyResponse] = []
        is_refused = threading.Event()

        def ask(seed: int) -> None:
            with Client(server.url, retries=0) as client:
                try:
                    answers.append(client.classify(picture(seed)))
                except QueueFullError as error:
                    refusals.append(error)
                    is_refused.set()

        threads = [threading.Thread(target=ask, args=[seed]) for seed in range(8)]
        for thread in threads:
            thread.start()
        assert is_refused.wait(PATIENCE_S)
        puppet.let_go()
        for thread in threads:
            thread.join(PATIENCE_S)

    assert len(answers) + len(refusals) == len(threads)
    assert answers
    assert all((error.retry_after_s or 0) >= 1 for error in refusals)


def test_key_opens_the_server_and_its_lack_is_told(tmp_path: Path) -> None:
    store, keys = tmp_path / "store", tmp_path / "keys.json"
    store.mkdir()
    key = create_key(keys, "app", [Scope.INFER])
    with listening(store, api_keys_file=keys, **SETTINGS) as server:
        with Client(server.url) as stranger, pytest.raises(UnauthenticatedError):
            stranger.classify(picture())
        with Client(server.url, api_key=key) as client:
            assert client.classify(picture()).version == 1


def test_server_that_is_not_there_is_told_from_one_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", retries=0) as client:
        with pytest.raises(ConnectionFailedError, match=f"{port} does not answer") as raised:
            client.classify(picture())
        assert not raised.value.may_have_arrived
        assert not client.is_ready()


def test_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, timeout_s=0.05) as client,
            pytest.raises(AnswerTimeoutError, match=r"within 0\.05 s"),
        ):
            client.models()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://there", "http://", "http://a:b"])
def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        Client(url)


def test_impossible_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="timeout_s is 0"):
        Client(timeout_s=0)
    with pytest.raises(ValueError, match="no key has"):
        Client(api_key="ks_\u00fc")


def test_url_may_have_a_path_of_its_own() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"status": "ready"})

    with Client("http://there/behind/", transport=httpx.MockTransport(answer)) as client:
        assert client.is_ready()
    assert asked == ["/behind/readyz"]


def test_parameters_join_those_that_a_path_has() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=dict(request.url.params))

    with Client("http://there", transport=httpx.MockTransport(answer)) as client:
        found = client.request_json("POST", "/x?version=1", query={"wait_s": 2, "none": None})
    assert found == {"version": "1", "wait_s": "2"}


def test_repetition_sends_the_whole_image_again() -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(503, headers={"Retry-After": "0"})

    transport = httpx.MockTransport(answer)
    with Client("http://there", retries=3, transport=transport) as client:
        with pytest.raises(package.UnexpectedAnswerError):
            client.classify(b"image")
        assert bodies == [b"image"] * 4
        bodies.clear()
        with pytest.raises(package.UnexpectedAnswerError):
            client.classify_batch([b"first", b"second"])
    assert len(bodies) == 4
    assert all(b"first" in body and b"second" in body for body in bodies)


def test_redirect_is_not_followed_with_the_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "there"
        return httpx.Response(307, headers={"Location": "http://elsewhere/"})

    transport = httpx.MockTransport(answer)
    with (
        Client("http://there", api_key="ks_1", transport=transport) as client,
        pytest.raises(package.UnexpectedAnswerError, match="answered 307"),
    ):
        client.models()


def samples_of_cifar10(request: httpx.Request) -> httpx.Response:
    """Answer as the routes of samples are described."""
    entry = {"index": 2, "label": "cat", "class_id": 3}
    path = request.url.path.removeprefix("/v1/models/cifar10/samples")
    if path == "":
        assert dict(request.url.params) == {"limit": "1", "offset": "2", "label": "cat"}
        return httpx.Response(200, json={"count": 1000, "samples": [entry]})
    if path == "/2/image":
        return httpx.Response(200, content=picture(), headers={"Content-Type": "image/png"})
    if path == "/2/real":
        return httpx.Response(200, json=entry)
    if path == "/2/predict":
        assert request.method == "POST"
        assert dict(request.url.params) == {"top_k": "1"}
        answer = {
            "request_id": "r", "model": "cifar10", "version": 1,
            "predictions": [{"label": "dog", "class_id": 5, "score": 0.7}],
            "image": {"format": "PNG", "width": 32, "height": 32, "mode": "RGB"},
            "timing": {"decode_ms": 1, "queue_ms": 1, "execute_ms": 1, "total_ms": 3,
                       "batch_size": 1},
            "actual": {"label": "cat", "class_id": 3}, "correct": False,
        }  # fmt: skip
        return httpx.Response(200, json=answer)
    problem = {
        "title": "Not Found", "status": 404, "code": "sample_not_found",
        "detail": "There is no sample 9; there are: 0 to 8.", "request_id": "r",
    }  # fmt: skip
    return httpx.Response(404, json=problem)


def test_samples_are_listed_shown_classified_and_told() -> None:
    transport = httpx.MockTransport(samples_of_cifar10)
    with Client("http://there", transport=transport) as client:
        found = client.samples("cifar10", limit=1, offset=2, label="cat")
        assert (found.count, found.samples[0].index) == (1000, 2)
        assert client.sample_image("cifar10", 2) == picture()
        assert client.real("cifar10", 2).label == "cat"
        answer = client.predict_sample("cifar10", 2, top_k=1)
        assert (answer.predictions[0].label, answer.actual.label) == ("dog", "cat")
        assert not answer.correct
        with pytest.raises(SampleNotFoundError, match="0 to 8"):
            client.real("cifar10", 9)


async def test_samples_are_there_for_the_async_client_too() -> None:
    transport = httpx.MockTransport(samples_of_cifar10)
    async with AsyncClient("http://there", transport=transport) as client:
        found = await client.samples("cifar10", limit=1, offset=2, label="cat")
        assert found.samples[0].class_id == 3
        assert await client.sample_image("cifar10", 2) == picture()
        assert (await client.real("cifar10", 2)).index == 2
        assert (await client.predict_sample("cifar10", 2, top_k=1)).actual.class_id == 3


# ---- on an event loop ---------------------------------------------------------------------


async def test_async_client_does_the_same(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    async with AsyncClient("http://test", transport=httpx.ASGITransport(world.app)) as client:
        found = await client.classify(path, top_k=1)
        assert found.model == "cifar10"
        assert (await client.classify(picture(), top_k=1)).predictions == found.predictions
        batch = await client.classify_batch([picture(1), b"text"])
        assert (batch.succeeded, batch.failed) == (1, 1)
        assert (await client.models()).default == "cifar10"
        assert (await client.model("cifar10")).default_version == 1
        assert (await client.version("cifar10", 1)).model == "cifar10"
        assert await client.is_ready()
        await client.wait_until_ready(PATIENCE_S)
        assert (await client.readiness()).status == "ready"
        with pytest.raises(ProblemError) as raised:
            await client.classify(b"text")
        assert raised.value.code == "unsupported_format"
        with pytest.raises(RouteNotFoundError):
            await client.request_json("GET", "/v1/nothing")


async def test_async_client_repeats_and_gives_up_in_time() -> None:
    statuses = iter([429, 503, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"Retry-After": "0"}
        return httpx.Response(next(statuses), json={"status": "ready"}, headers=headers)

    transport = httpx.MockTransport(answer)
    async with AsyncClient("http://there", transport=transport) as client:
        assert await client.request_json("GET", "/x") == {"status": "ready"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with AsyncClient(url, timeout_s=0.05) as client:
            with pytest.raises(AnswerTimeoutError):
                await client.models()
    async with AsyncClient(url, retries=0) as client:
        assert not await client.is_ready()


# ---- both ---------------------------------------------------------------------------------


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(method).replace(return_annotation=None))
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_client_needs_no_server_and_no_engine() -> None:
    heavy = ["fastapi", "starlette", "uvicorn", "tensorflow", "keras", "openvino"]
    code = f"import sys, app.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_error_is_exported() -> None:
    classes = [value for value in vars(package.errors).values() if isinstance(value, type)]
    kinds = {kind.__name__ for kind in classes if issubclass(kind, package.KeraserveError)}
    assert kinds
    assert kinds <= set(package.__all__)
