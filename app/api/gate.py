"""Refuses classifications for want of room by their heads alone, while that happens often."""

from __future__ import annotations

import asyncio
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from app.access.caller import Scope as AccessScope
from app.api.access import require
from app.api.accounts import RequestAccounts
from app.api.admission import BATCH_PATH, PATH, choose, refuse_early
from app.api.middleware import announces_much
from app.api.problems import error_response
from app.api.record import STATE_KEY, RequestRecord, request_id_of
from app.errors import QueueFullError
from app.lifecycle import Lifecycle
from app.types import Clock, ServableId

METHOD = "POST"

WATCH_S = 1.0
"""For so long after a refusal the gate looks at requests. Under overload a few are accepted
between two refusals; in a second without any, looking would be in vain for all."""

_IS_ONE = {PATH: True, BATCH_PATH: False}


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
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, accounts: RequestAccounts) -> None:
        """Take what requests of an application are decided with, and where they are counted."""
        self._app = app
        self._lifecycle = lifecycle
        self._accounts = accounts
        # Images of requests that passed in this turn of the event loop, by version: their tasks
        # have not run yet. Of a hundred heads that are read in one turn, all would pass otherwise.
        self._passed: dict[ServableId, int] = {}

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
            return self._answer(scope, record, error)
        except Exception:  # the other way meets it again, and answers it as it should
            return None
        return None

    def note_begun(self, version: ServableId) -> None:
        """Take note that one who passed in this turn waits already."""
        if version in self._passed:
            self._passed[version] -= 1

    def _note_passed(self, version: ServableId) -> None:
        if not self._passed:
            # Called before the tasks that begin in this turn take their places in the queue.
            asyncio.get_running_loop().call_soon(self._passed.clear)
        self._passed[version] = self._passed.get(version, 0) + 1

    def _answer(self, scope: Scope, record: RequestRecord, error: QueueFullError) -> Response:
        self._accounts.begin()
        response = error_response(scope, error)
        response.raw_headers.append((b"x-request-id", record.request_id.encode("ascii")))
        self._accounts.end(record, scope["path"], METHOD, response.status_code)
        return response


def _is_plain(headers: list[tuple[bytes, bytes]]) -> bool:
    # Browsers name the origin of a page; what its answer needs beside, the layer for it adds.
    return not announces_much(headers) and not any(name == b"origin" for name, _ in headers)
