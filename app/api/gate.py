"""Refuses classifications by their heads alone, while that happens often."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from app.access.caller import Scope as AccessScope
from app.api.access import require
from app.api.accounts import RequestAccounts
from app.api.admission import BATCH_PATH, PATH, choose, refuse_early
from app.api.middleware import announces_much
from app.api.pacer import Pacer
from app.api.problems import error_response
from app.api.record import STATE_KEY, RequestRecord, request_id_of
from app.api.refusal_log import REFUSED_CODE
from app.errors import QueueFullError, RateLimitedError, ServingError
from app.inference.live import LiveServable
from app.inference.service import QUICK_UPLOAD_BYTES
from app.lifecycle import Lifecycle
from app.types import Clock, ServableId

METHOD = "POST"

WATCH_S = 1.0
"""For so long after a refusal the gate looks at requests. Under overload a few are accepted
between two refusals; in a second without any, looking would be in vain for all."""

_IS_ONE = {PATH: True, BATCH_PATH: False}


_Wishes: TypeAlias = tuple[str, bytes, bytes | None]
"""Path, query and key of a request."""


class _Refused:
    """One request that was refused, as a pattern for those that wish the same in the same turn."""

    __slots__ = ("_body", "_headers", "_status", "by", "live")

    def __init__(self, live: LiveServable, record: RequestRecord, response: Response) -> None:
        self.live = live
        self.by = record.by
        self._status = response.status_code
        self._headers = [header for header in response.raw_headers if header[0] != b"x-request-id"]
        # Made here, so that it has nothing to be escaped, and stands where it belongs only.
        self._body = bytes(response.body).split(record.request_id.encode("ascii"))

    def response_to(self, request_id: str) -> Response:
        id_bytes = request_id.encode("ascii")  # as long as the first one: the length stays
        response = _Ready()
        response.status_code = self._status
        response.body = id_bytes.join(self._body)
        response.raw_headers = [*self._headers, (b"x-request-id", id_bytes)]
        return response


class _Ready(Response):
    """A response whose parts are given to it."""

    def __init__(self) -> None:
        """Be filled by whoever makes it."""


class RefusalGate:
    """Decides before a request is begun what its route would decide as its first act.

    A server begins a request with a task, an event and a chain of calls, all of which a refusal
    does not need: under overload they take more time than the refusal itself, from those who were
    accepted. The gate asks the same functions as the route and counts in the same place. What it
    does not refuse goes the way of every request, on which all is decided again: it refuses, or
    does nothing.

    Left to that way are all requests whose answer may differ: those that a canary may answer,
    bodies that end their connection (``announces_much``), and pages of other origins.

    Loop: used on one event loop; never waits.

    Attributes:
        pacer: Asked while the gate is watching, before who passed is begun.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, accounts: RequestAccounts) -> None:
        """Take what requests of an application are decided with, and where they are counted."""
        self.pacer = Pacer()
        self._app = app
        self._lifecycle = lifecycle
        self._accounts = accounts
        # Images of requests that passed in this turn of the event loop, by version: their tasks
        # have not run yet. Of a hundred heads that are read in one turn, all would pass otherwise.
        # While some are put off, also those of turns before.
        self._passed: dict[ServableId, int] = {}
        # Who was refused in this turn, by what the decision hangs on.
        self._refused: dict[_Wishes, _Refused] = {}
        self._is_end_due = False

    def is_watching(self, now_s: float) -> bool:
        """Whether somebody was refused within ``WATCH_S``; ``now_s`` is the event loop's time."""
        return now_s - self._accounts.refused_s < WATCH_S

    def refusal(self, scope: Scope, clock: Clock) -> Response | None:
        """Return the whole answer to a request that is refused, and count it; else None.

        Args:
            scope: Of a request of HTTP/1.1; ``app`` and the record are put into it.
            clock: The event loop's.
        """
        path = scope["path"]
        is_one = _IS_ONE.get(path)
        headers = scope["headers"]
        if is_one is None or scope["method"] != METHOD or not _is_plain(headers):
            return None
        record = RequestRecord(request_id_of(headers), perf_counter(), clock())
        wishes = None
        if self._lifecycle.limits is None:  # else each is counted for its own caller
            wishes = _wishes_of(path, scope["query_string"], headers)
        if wishes is not None and wishes in self._refused:
            return self._answer_as(self._refused[wishes], record, path)
        scope["state"][STATE_KEY] = record
        scope["app"] = self._app
        request = Request(scope)
        try:
            require(request, AccessScope.INFER)
            choice, options = choose(self._lifecycle, record, request)
            if choice.canary is None:
                ahead = self._passed.get(choice.live.id, 0)
                refuse_early(self._lifecycle, choice, options, request, is_one=is_one, ahead=ahead)
                self._note_passed(choice.live.id)
        except QueueFullError as error:
            response = self._answer(scope, record, error)
            if wishes is not None and choice.canary is None:
                self._keep(wishes, _Refused(choice.live, record, response))
            return response
        except RateLimitedError as error:
            return self._answer(scope, record, error)
        except Exception:  # the other way meets it again, and answers it as it should
            return None
        return None

    def note_begun(self, version: ServableId) -> None:
        """Take note that one who passed in this turn waits already.

        Also told of those whom the gate did not look at; at worst one too many passes then.
        """
        if self._passed.get(version):
            self._passed[version] -= 1

    def _note_passed(self, version: ServableId) -> None:
        self._end_with_turn()
        self._passed[version] = self._passed.get(version, 0) + 1

    def _keep(self, wishes: _Wishes, refused: _Refused) -> None:
        self._end_with_turn()
        self._refused[wishes] = refused

    def _end_with_turn(self) -> None:
        """Have what is true for one turn of the event loop forgotten at its end."""
        if not self._is_end_due:
            self._is_end_due = True
            # Called before the tasks that begin in this turn take their places in the queue.
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_end_due = False
        self._refused.clear()
        if self.pacer.has_waiting:
            self._end_with_turn()
        else:
            self._passed.clear()

    def _answer_as(self, refused: _Refused, record: RequestRecord, path: str) -> Response:
        """Refuse a request for the reason that another one was refused for in this turn.

        No place becomes free within a turn; who comes later has a later deadline by less than the
        turn takes.
        """
        self._accounts.begin()
        record.servable = refused.live.id
        record.by = refused.by
        record.error_code = REFUSED_CODE
        refused.live.metrics.image_ended("queue_full")
        response = refused.response_to(record.request_id)
        self._accounts.end(record, path, METHOD, response.status_code)
        return response

    def _answer(self, scope: Scope, record: RequestRecord, error: ServingError) -> Response:
        self._accounts.begin()
        response = error_response(scope, error)
        response.raw_headers += record.headers()
        self._accounts.end(record, scope["path"], METHOD, response.status_code)
        return response


def _is_plain(headers: list[tuple[bytes, bytes]]) -> bool:
    # Browsers name the origin of a page; what its answer needs beside, the layer for it adds.
    return not announces_much(headers) and not any(name == b"origin" for name, _ in headers)


def _wishes_of(path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> _Wishes | None:
    """Return all that a refusal hangs on; None where it hangs on more."""
    key: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            key = value if key is None else b""
        elif name == b"content-length":
            if int(value) > QUICK_UPLOAD_BYTES:
                return None  # its decoding may have to wait
        elif name == b"x-request-id":
            return None  # stands in the answer, escaped
    return None if key == b"" else (path, query, key)
