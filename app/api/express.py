"""Classifications that are answered without a task: small images, whole, of usual requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from app.access.caller import Scope as AccessScope
from app.api.access import permit
from app.api.accounts import RequestAccounts
from app.api.admission import PATH, choose
from app.api.answer import answer_response
from app.api.error_handlers import internal_error_response, serving_error_response
from app.api.problems import CLIENT_CLOSED_REQUEST, error_response
from app.api.record import STATE_KEY, RequestRecord, record_of, request_id_of
from app.api.tracing import decide_trace
from app.api.uploads import plain_image
from app.errors import BatcherStoppedError, ServingError
from app.inference.quick import QuickImage
from app.inference.records import Classification
from app.inference.service import QUICK_UPLOAD_BYTES
from app.lifecycle import Lifecycle
from app.rollout.choice import Choice
from app.types import Clock, ServableId

METHOD = "POST"

Write = Callable[["ExpressRequest", Response], None]
"""Takes the answer to a request."""


class ExpressLane:
    """Begins the usual classification at once, in the turn in which it has come.

    What a server does for any request, a task, an event, a chain of calls, took a third of the time
    of a classification (``benchmarks/README.md``). This calls the same functions as the route, one
    after the other, and has the batcher call back. Whatever is not plainly the usual case, or would
    end in an error before the image is queued, is left to the way of every request, where all is
    decided again: nothing has happened or been counted then.

    Left to that way: large images, versions that reuse results or are compared with a canary,
    bodies of unknown length, pages of other origins; and all where CORS is set, whose layer adds to
    every answer.

    Loop: used on one event loop; never waits.
    """

    def __init__(
        self,
        app: ASGIApp,
        lifecycle: Lifecycle,
        accounts: RequestAccounts,
        on_begun: Callable[[ServableId], None],
        *,
        is_open: bool = True,
    ) -> None:
        """Take what requests of an application are answered with, and where they are counted.

        Args:
            app: The application.
            lifecycle: Its parts.
            accounts: Counts requests.
            on_begun: Told of each image that is queued.
            is_open: Whether it takes any request; not where something around the application
                changes its answers.
        """
        self._app = app
        self._lifecycle = lifecycle
        self._accounts = accounts
        self._on_begun = on_begun
        self._is_open = is_open
        self._sampler = lifecycle.trace_sampler

    def is_open_to(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether a body should be waited for, to be begun here; by the head of its request."""
        named = dict(headers)
        if b"transfer-encoding" in named or b"origin" in named or b"expect" in named:
            return False
        return self._is_open and 0 < int(named.get(b"content-length", 0)) <= QUICK_UPLOAD_BYTES

    def note_arrival(self, scope: Scope, clock: Clock) -> bool:
        """Put a record into the scope of a request that ``is_open_to`` takes: its time runs.

        Returns:
            Whether its body should be waited for: not where a limit of its caller refuses it.
        """
        state = scope["state"]
        if STATE_KEY not in state:  # the gate may have noted it already
            state[STATE_KEY] = RequestRecord(
                request_id_of(scope["headers"]), perf_counter(), clock()
            )
        if self._lifecycle.limits is None:
            return True
        scope["app"] = self._app
        try:
            permit(self._lifecycle, scope, AccessScope.INFER)
        except Exception:  # the other way meets it again, and answers it as it should
            return False
        return True

    def begin(self, scope: Scope, body: bytes, write: Write) -> ExpressRequest | None:
        """Begin to answer a request; None if it has to go the way of every request.

        Args:
            scope: Of a ``POST`` of HTTP/1.1 to ``PATH``, with the record of ``note_arrival``;
                ``app`` is put into it.
            body: All of it.
            write: Is given the answer, once, in a later turn of the event loop.
        """
        record = record_of(scope)
        if self._sampler is not None:
            decide_trace(self._sampler, scope, record)
        scope["app"] = self._app
        try:
            if record.visit is None:  # else asked when the head came
                permit(self._lifecycle, scope, AccessScope.INFER)
            choice, options = choose(self._lifecycle, record, scope)
            upload = plain_image(scope, body, self._lifecycle.request_policy)
            if upload is None:
                return None
            express = ExpressRequest(scope, record, choice, self._lifecycle, self._accounts, write)
            image = self._lifecycle.director.begin(choice, upload, options, express.end)
        except Exception:  # the other way meets it again, and answers it as it should
            return None
        if image is None:
            return None
        express.follow(image)
        self._on_begun(choice.live.id)
        return express


class ExpressRequest:
    """One request on the express lane, from its queued image to its answer.

    To its connection it is what the server's own requests are: see ``GatedProtocol``.

    Answer: ``write`` is called once, unless the client leaves, and the request is counted once.
    Cancel: what the stopping server cancels is answered with 503 ``draining``, in the turn after.

    Attributes:
        response_complete: Whether it has ended.
        keep_alive: Whether its connection takes another request afterwards; the server turns it
            off when it stops.
        disconnected: Set by the server; ``leave()`` is what ends the work.
    """

    __slots__ = (
        "_accounts", "_choice", "_image", "_lifecycle", "_record", "_scope", "_write",
        "disconnected", "keep_alive", "response_complete",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        record: RequestRecord,
        choice: Choice,
        lifecycle: Lifecycle,
        accounts: RequestAccounts,
        write: Write,
    ) -> None:
        """Wait for ``follow()``; nothing is counted before."""
        self.response_complete = False
        self.keep_alive = True
        self.disconnected = False
        self._scope = scope
        self._record = record
        self._choice = choice
        self._lifecycle = lifecycle
        self._accounts = accounts
        self._write = write
        self._image: QuickImage | None = None

    @property
    def message_event(self) -> ExpressRequest:
        """What the server wakes when the client has left: nobody waits for it."""
        return self

    def set(self) -> None:
        """Wake nobody."""

    def follow(self, image: QuickImage) -> None:
        """Count the request, and keep its version until it has ended."""
        self._image = image
        self._accounts.begin()
        self._choice.__enter__()

    def end(self, outcome: Classification | Exception) -> None:
        """Answer; called by the image."""
        self._finish(self._response(outcome))

    def leave(self) -> None:
        """End without an answer, because the client has left."""
        if self._give_up():
            self.response_complete = True
            self._close(CLIENT_CLOSED_REQUEST)

    def cancel(self, msg: str | None = None) -> None:
        """Answer that the server has stopped; called by the server, as of a task."""
        # Not here: the server goes through the set that an answer takes this request out of.
        asyncio.get_running_loop().call_soon(self._cut_off)

    def _cut_off(self) -> None:
        if self._give_up():
            self._lifecycle.request_cut_off()
            stopped = BatcherStoppedError("The service stopped before the answer was there.")
            self._finish(error_response(self._scope, stopped))

    def _give_up(self) -> bool:
        if self.response_complete or self._image is None:
            return False
        self._record.note_progress(self._image.progress)
        self._image.cancel()
        return True

    def _response(self, outcome: Classification | Exception) -> Response:
        try:
            if isinstance(outcome, Classification):
                return answer_response(self._record, self._choice.live.id, outcome)
            if isinstance(outcome, ServingError):
                return serving_error_response(self._scope, outcome)
            return internal_error_response(self._scope, outcome)
        except Exception as error:  # whoever was accepted is answered
            return internal_error_response(self._scope, error)

    def _finish(self, response: Response) -> None:
        response.raw_headers += self._record.headers()
        self.response_complete = True
        try:
            self._write(self, response)  # first: who waits for it need not wait for the rest
        finally:
            self._close(response.status_code)

    def _close(self, status: int) -> None:
        self._choice.__exit__()
        self._accounts.end(self._record, PATH, METHOD, status)
