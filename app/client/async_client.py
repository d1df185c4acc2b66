"""The client for code on an event loop, asyncio's or trio's."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio
import anyio.to_thread
import httpx

from app.client import calls
from app.client.calls import ClassifyOptions, SampleOptions
from app.client.connection import DEFAULT_URL, RETRIES, TIMEOUT_S, build_request, settings
from app.client.errors import NotAnsweredError
from app.client.exchange import (
    Answer,
    Outcome,
    Send,
    Step,
    Terms,
    await_readiness,
    converse,
)
from app.client.images import ImageSource
from app.client.retrying import RetryPolicy
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

T = TypeVar("T")


class AsyncClient:
    """As ``Client``, for ``await``.

    Loop: used on the event loop that made its first call, by any number of tasks at once; files
    are read, and pixels encoded, in threads.
    Cancel: a call that is cancelled leaves; the server notices and drops its image.
    Bound, Repeats, Errors: as ``Client``.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect to nothing yet; arguments and errors are those of ``Client``."""
        arguments = settings(url, api_key, timeout_s)
        self._terms = Terms(url, timeout_s, RetryPolicy(retries), time.monotonic)
        self._http = httpx.AsyncClient(transport=transport, **arguments)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    # ---- classify -------------------------------------------------------------------------

    async def classify(
        self, image: ImageSource, **options: Unpack[ClassifyOptions]
    ) -> ClassifyResponse:
        """Classify one image; labels come best first."""
        prepare = partial(calls.classify, image, **options)
        return await self._do(await _prepared(image, prepare))

    async def classify_batch(
        self, images: Iterable[ImageSource], **options: Unpack[ClassifyOptions]
    ) -> BatchResponse:
        """Classify several images in one request; see ``Client.classify_batch``."""
        prepare = partial(calls.classify_batch, list(images), **options)
        return await self._do(await anyio.to_thread.run_sync(prepare))

    # ---- what is served -------------------------------------------------------------------

    async def models(self) -> ModelsResponse:
        """Return all models with their versions and states."""
        return await self._do(calls.models())

    async def model(self, name: str) -> ModelResponse:
        """Return one model with its versions and their states."""
        return await self._do(calls.model(name))

    async def version(self, name: str, version: int) -> VersionResponse:
        """Return one version with its whole manifest."""
        return await self._do(calls.version(name, version))

    # ---- labelled samples -----------------------------------------------------------------

    async def samples(
        self,
        model: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        label: str | None = None,
    ) -> SamplesResponse:
        """Return which labelled samples a model has, of one class where ``label`` names it."""
        return await self._do(calls.samples(model, limit=limit, offset=offset, label=label))

    async def sample_image(self, model: str, index: int) -> bytes:
        """Return the picture of a sample, as PNG."""
        return await self._do(calls.sample_image(model, index))

    async def predict_sample(
        self, model: str, index: int, **options: Unpack[SampleOptions]
    ) -> SamplePredictResponse:
        """Classify a sample; the answer says what it really is, too."""
        return await self._do(calls.predict_sample(model, index, **options))

    async def real(self, model: str, index: int) -> SampleEntry:
        """Return the class that the data set gives a sample."""
        return await self._do(calls.real(model, index))

    # ---- the server itself ----------------------------------------------------------------

    async def readiness(self) -> Readiness | Unreadiness:
        """Return whether the server can classify, and why not."""
        return await self._do(calls.readiness())

    async def is_ready(self) -> bool:
        """Return whether the server is there and can classify."""
        try:
            return isinstance(await self.readiness(), Readiness)
        except NotAnsweredError:
            return False

    async def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server is there and can classify; see ``Client.wait_until_ready``."""
        await self._carry_out(await_readiness(timeout_s, self._terms))

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | float | None] | None = None,
        body: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """Ask a route that has no method here; see ``Client.request_json``."""
        call = calls.request_json(method, path, query=query, body=body, wait_s=wait_s)
        return await self._do(call)

    async def _do(self, call: calls.Call[T]) -> T:
        return await self._carry_out(converse(call, self._terms))

    async def _carry_out(self, conversation: Generator[Step, Outcome, T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = conversation.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = await self._send(step)
            else:
                await anyio.sleep(step.seconds)
                outcome = None

    async def _send(self, step: Send) -> Outcome:
        try:
            with anyio.fail_after(step.within_s):
                response = await self._http.send(
                    build_request(self._http, step.call, step.within_s)
                )
        except TimeoutError:
            return httpx.ReadTimeout("the answer comes too slowly")
        except httpx.RequestError as error:
            return error
        retry_after = response.headers.get("retry-after")
        return Answer(response.status_code, response.content, retry_after)


async def _prepared(image: ImageSource, prepare: partial[calls.Call[T]]) -> calls.Call[T]:
    """Return the call; what must be read or encoded is done in a thread."""
    return prepare() if isinstance(image, bytes) else await anyio.to_thread.run_sync(prepare)
