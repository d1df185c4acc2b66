"""The client for ordinary code."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

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


class Client:
    """Talks to one Keraserve server; keeps its connections open until ``close()``.

    Threads: may be used from several at once.
    Bound: a call ends within ``timeout_s``, repetitions and waiting for them included. A server
    that takes the request, or sends the head of its answer, in drops can stretch that: httpx bounds
    the wait for each drop. ``AsyncClient`` cuts it off there, too.
    Repeats: 429 and 503 as the server says (``Retry-After``); a connection that failed, where
    nothing was sent or the call may be done twice, as every classification may; all of it
    ``retries`` times at most.
    Errors: ``app.client.errors`` has them all; every method raises ``KeraserveError``.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: Of the server; a path in it is put before every route.
            api_key: With the scope of what is asked, where the server asks for keys.
            timeout_s: For each call as a whole, s.
            retries: Repetitions of one call, at most; 0 sends everything once.
            transport: What carries the requests; None: the network.

        Raises:
            ValueError: One of these cannot be.
        """
        arguments = settings(url, api_key, timeout_s)
        self._terms = Terms(url, timeout_s, RetryPolicy(retries), time.monotonic)
        self._http = httpx.Client(transport=transport, **arguments)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    # ---- classify -------------------------------------------------------------------------

    def classify(self, image: ImageSource, **options: Unpack[ClassifyOptions]) -> ClassifyResponse:
        """Classify one image; labels come best first."""
        return self._do(calls.classify(image, **options))

    def classify_batch(
        self, images: Iterable[ImageSource], **options: Unpack[ClassifyOptions]
    ) -> BatchResponse:
        """Classify several images in one request, as many as the server allows (64).

        ``results`` has one entry per image, in order: a ``BatchSuccess``, or a ``BatchFailure``
        that says what is wrong with this one.
        """
        return self._do(calls.classify_batch(images, **options))

    # ---- what is served -------------------------------------------------------------------

    def models(self) -> ModelsResponse:
        """Return all models with their versions and states."""
        return self._do(calls.models())

    def model(self, name: str) -> ModelResponse:
        """Return one model with its versions and their states."""
        return self._do(calls.model(name))

    def version(self, name: str, version: int) -> VersionResponse:
        """Return one version with its whole manifest."""
        return self._do(calls.version(name, version))

    # ---- labelled samples -----------------------------------------------------------------

    def samples(
        self,
        model: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        label: str | None = None,
    ) -> SamplesResponse:
        """Return which labelled samples a model has, of one class where ``label`` names it."""
        return self._do(calls.samples(model, limit=limit, offset=offset, label=label))

    def sample_image(self, model: str, index: int) -> bytes:
        """Return the picture of a sample, as PNG."""
        return self._do(calls.sample_image(model, index))

    def predict_sample(
        self, model: str, index: int, **options: Unpack[SampleOptions]
    ) -> SamplePredictResponse:
        """Classify a sample; the answer says what it really is, too."""
        return self._do(calls.predict_sample(model, index, **options))

    def real(self, model: str, index: int) -> SampleEntry:
        """Return the class that the data set gives a sample."""
        return self._do(calls.real(model, index))

    # ---- the server itself ----------------------------------------------------------------

    def readiness(self) -> Readiness | Unreadiness:
        """Return whether the server can classify, and why not."""
        return self._do(calls.readiness())

    def is_ready(self) -> bool:
        """Return whether the server is there and can classify."""
        try:
            return isinstance(self.readiness(), Readiness)
        except NotAnsweredError:
            return False

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the server is there and can classify.

        Raises:
            AnswerTimeoutError: It was not, for ``timeout_s``; says why.
        """
        self._carry_out(await_readiness(timeout_s, self._terms))

    def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | float | None] | None = None,
        body: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> dict[str, Any]:
        """Ask a route that has no method here, as those below ``/v1/admin``.

        Args:
            method: Of HTTP.
            path: From ``/v1`` on, with its parts quoted.
            query: Parameters.
            body: Becomes JSON.
            wait_s: What the server may wait for on purpose, on top of the timeout, s.
        """
        return self._do(calls.request_json(method, path, query=query, body=body, wait_s=wait_s))

    def _do(self, call: calls.Call[T]) -> T:
        return self._carry_out(converse(call, self._terms))

    def _carry_out(self, conversation: Generator[Step, Outcome, T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = conversation.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            else:
                time.sleep(step.seconds)
                outcome = None

    def _send(self, step: Send) -> Outcome:
        stop_by_s = self._terms.clock() + step.within_s
        try:
            request = build_request(self._http, step.call, step.within_s)
            response = self._http.send(request, stream=True)
            try:
                content = bytearray()
                # httpx bounds the wait for each piece; a server that drips must end all the same.
                for piece in response.iter_bytes():
                    content += piece
                    if self._terms.clock() > stop_by_s:
                        raise httpx.ReadTimeout("the answer comes too slowly", request=request)
            finally:
                response.close()
        except httpx.RequestError as error:
            return error
        retry_after = response.headers.get("retry-after")
        return Answer(response.status_code, bytes(content), retry_after)
