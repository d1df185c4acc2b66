"""Whether a request may do what it asks."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Depends
from starlette.requests import Request
from starlette.types import Scope as HttpScope

from app.access.addresses import subject_of
from app.access.caller import ANONYMOUS, LOCAL, Caller, Scope
from app.access.key_ring import KeyRing
from app.access.limits import Visit
from app.api.dependencies import lifecycle_of
from app.api.local import why_not_local
from app.api.record import record_of
from app.errors import ForbiddenError, RouteNotServedError, UnauthenticatedError
from app.lifecycle import Lifecycle

_SETTING = "KERASERVE_API_KEYS_FILE"

# RFC 6750, with the scheme in any case as RFC 9110 has it.
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*)[ \t]*", re.IGNORECASE)


def require(request: Request, scope: Scope) -> Caller:
    """Return who asks, if they may; their name goes into the request's record.

    Nothing of the body is read for it. Without a file of keys, anybody may classify and read the
    metrics, and only requests of this machine's own may administrate. Where there are limits, the
    request is counted for them, once, however many ways of answering it ask here.

    Args:
        request: Only its head is looked at.
        scope: What the route needs.

    Raises:
        UnauthenticatedError: Keys are asked for, and the request has none that is in force.
        ForbiddenError: The key has not this scope; or, without a file of keys, the request may
            come from elsewhere.
        RateLimitedError: Their address or their key has asked for more than each of them may.
        RouteNotServedError: It is for the admin port, and came to the other one.
    """
    return permit(lifecycle_of(request), request.scope, scope)


def permit(lifecycle: Lifecycle, http: HttpScope, scope: Scope) -> Caller:
    """Do what ``require`` does, for who has no request yet, but its scope in ASGI, ``http``."""
    if scope is not Scope.INFER:
        _check_port(lifecycle, http)
    limits = lifecycle.limits
    if limits is None:
        if lifecycle.key_ring is None and scope is not Scope.ADMIN:
            return ANONYMOUS
        return _permitted(_who(lifecycle, http, scope), http, scope)
    record = record_of(http)
    visit = record.visit
    if visit is None:
        visit = record.visit = Visit(limits)
    if visit.needs_address:  # before a key is looked at: guessing them is limited, too
        visit.enter_address(_subject(lifecycle, http))
    if visit.caller is None:
        visit.caller = _who(lifecycle, http, scope)
    caller = _permitted(visit.caller, http, scope)
    if lifecycle.key_ring is not None:
        visit.enter_key(caller.name)
    return caller


def _subject(lifecycle: Lifecycle, http: HttpScope) -> str:
    client = http.get("client")
    peer = client[0] if client else ""
    return subject_of(lifecycle.proxies.client_of(peer, http["headers"]))


def _check_port(lifecycle: Lifecycle, http: HttpScope) -> None:
    if lifecycle.admin_port is None:
        return
    # The port of the connection itself: nothing that a client writes changes it.
    server = http.get("server")
    if server is None or server[1] != lifecycle.admin_port:
        path = http["path"]
        raise RouteNotServedError(
            f"There is no {path} at this port; the admin port has it (KERASERVE_ADMIN_PORT)."
        )


def _who(lifecycle: Lifecycle, http: HttpScope, scope: Scope) -> Caller:
    ring = lifecycle.key_ring
    if ring is not None:
        return _caller(ring, http, scope)
    return _local(http) if scope is Scope.ADMIN else ANONYMOUS


def _permitted(caller: Caller, http: HttpScope, scope: Scope) -> Caller:
    if caller is ANONYMOUS:  # may all that it is asked for; the log need not say so
        return caller
    record_of(http).by = caller.name
    if not caller.may(scope):
        scopes = ", ".join(sorted(caller.scopes))
        raise ForbiddenError(
            f"The key {caller.name} has the scope {scopes}; this takes one with the scope {scope} "
            f"({_SETTING})."
        )
    return caller


def guard(scope: Scope) -> Any:
    """Return a dependency of FastAPI that is ``require``; for routes that read no body.

    FastAPI reads the body first. It comes before everything else that FastAPI checks.
    """

    async def check(request: Request) -> None:
        require(request, scope)

    return Depends(check)


def _caller(ring: KeyRing, http: HttpScope, scope: Scope) -> Caller:
    values = [value for name, value in http["headers"] if name == b"authorization"]
    if not values:
        raise _unauthenticated("The request carries no API key", scope)
    match = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise _unauthenticated("The request's Authorization is not 'Bearer' and one key", scope)
    caller = ring.find(match[1].decode("ascii"))
    if caller is None:
        raise _unauthenticated("The request's API key is not known, or no longer", scope)
    return caller


def _unauthenticated(fault: str, scope: Scope) -> UnauthenticatedError:
    return UnauthenticatedError(
        f"{fault}. This takes one with the scope {scope} ({_SETTING}), sent as "
        "'Authorization: Bearer <key>'."
    )


def _local(http: HttpScope) -> Caller:
    fault = why_not_local(http)
    if fault is not None:
        raise ForbiddenError(
            f"Without API keys, this takes the scope {Scope.ADMIN}, which only requests from the "
            f"server's own machine have, and {fault}. For others, make a key with `keraserve keys "
            f"create` and name its file to the server ({_SETTING})."
        )
    return LOCAL
