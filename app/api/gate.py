"""Refuses classifications by their heads alone, while that happens often."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TypeAlias

from starlette.types import ASGIApp, Scope

from app.access.caller import Scope as AccessScope
from app.api.access import permit
from app.api.accounts import AlikeRefusals, RequestAccounts
from app.api.admission import BATCH_PATH, PATH, choose, refuse_early
from app.api.middleware import announces_much
from app.api.pacer import Pacer
from app.api.problems import error_response
from app.api.record import STATE_KEY, RequestRecord, new_request_id, request_id_of
from app.api.refusal_log import REFUSED_CODE
from app.api.written import WrittenResponse, write_response
from app.errors import QueueFullError, RateLimitedError, ServingError
from app.inference.service import QUICK_UPLOAD_BYTES
from app.lifecycle import Lifecycle
from app.metrics import ServableMetrics
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

    __slots__ = ("_account", "_metrics", "_parts", "_record", "_response")

    def __init__(
        self, metrics: ServableMetrics, record: RequestRecord, response: WrittenResponse
    ) -> None:
        self._metrics = metrics
        self._record = record
        self._response = response
        self._account: AlikeRefusals | None = None  # until somebody follows
        self._parts: list[bytes] = []

    def again(
        self, accounts: RequestAccounts, path: str, started_s: float, arrived_s: float
    ) -> WrittenResponse:
        """Refuse a request for the reason that this one was refused for, and count it.

        No place becomes free within a turn; who comes later has a later deadline by less than the
        turn takes.
        """
        status = self._response.status
        if self._account is None:
            self._account = accounts.alike(self._record, path, METHOD, status)
            # Made here, so that it has nothing to be escaped, and stands where it belongs only.
            self._parts = self._response.rest.split(self._record.request_id.encode("ascii"))
        self._metrics.image_ended(REFUSED_CODE)
        request_id = new_request_id()  # as long as the first one: the length stays
        rest = request_id.encode("ascii").join(self._parts)
        self._account.end(request_id, arrived_s, perf_counter() - started_s)
        return WrittenResponse(status, rest)


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

    def refusal(self, scope: Scope, clock: Clock) -> WrittenResponse | None:
        """Return the whole answer to a request that is refused, and count it; else None.

        Args:
            scope: Of a request of HTTP/1.1; ``app`` and the record are put into it.
            clock: The event loop's.
        """
        path = scope["path"]
        is_one = _IS_ONE.get(path)
        if is_one is None or scope["method"] != METHOD:
            return None
        headers = scope["headers"]
        named = dict(headers)
        # Browsers name the origin of a page; what its answer needs beside, the layer for it adds.
        if b"origin" in named or announces_much(named):
            return None
        started_s, arrived_s = perf_counter(), clock()
        wishes = None
        # Where there are limits, each is counted for its own caller; what a name that comes twice
        # means is for others to say.
        if self._lifecycle.limits is None and len(named) == len(headers):
            wishes = _wishes_of(path, scope["query_string"], named)
        if wishes is not None and wishes in self._refused:
            return self._refused[wishes].again(self._accounts, path, started_s, arrived_s)
        record = RequestRecord(request_id_of(headers), started_s, arrived_s)
        scope["state"][STATE_KEY] = record
        scope["app"] = self._app
        try:
            permit(self._lifecycle, scope, AccessScope.INFER)
            choice, options = choose(self._lifecycle, record, scope)
            if choice.canary is None:
                ahead = self._passed.get(choice.live.id, 0)
                refuse_early(self._lifecycle, choice, options, scope, is_one=is_one, ahead=ahead)
                self._note_passed(choice.live.id)
        except QueueFullError as error:
            response = self._answer(scope, record, error)
            if wishes is not None and choice.canary is None:
                self._keep(wishes, _Refused(choice.live.metrics, record, response))
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
        if self._passed and self._passed.get(version):
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

    def _answer(self, scope: Scope, record: RequestRecord, error: ServingError) -> WrittenResponse:
        self._accounts.begin()
        response = error_response(scope, error)
        response.raw_headers += record.headers()
        self._accounts.end(record, scope["path"], METHOD, response.status_code)
        return write_response(response)


def _wishes_of(path: str, query: bytes, headers: dict[bytes, bytes]) -> _Wishes | None:
    """Return all that a refusal hangs on; None where it hangs on more."""
    if b"x-request-id" in headers:
        return None  # stands in the answer, escaped
    if int(headers.get(b"content-length", 0)) > QUICK_UPLOAD_BYTES:
        return None  # its decoding may have to wait
    return path, query, headers.get(b"authorization")
