"""Turns every exception into a problem document; the table of codes is ``problems.KINDS``."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from app.api.problems import KINDS, ProblemKind, error_response, problem_response, title_of
from app.api.query import describe_invalid
from app.api.record import record_of
from app.errors import ExecutionError, ServingError

logger = logging.getLogger("app.request")


def install_error_handlers(app: FastAPI) -> None:
    """Answer all exceptions of the routes; what is not known here reaches the middleware."""
    app.add_exception_handler(ServingError, _serving_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _serving_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServingError)
    return serving_error_response(request.scope, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    kind = KINDS["malformed_request" if first["type"] == "json_invalid" else "invalid_request"]
    return problem_response(request.scope, kind, describe_invalid(first))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    scope, status = request.scope, error.status_code
    path = scope["path"]
    if status == KINDS["not_found"].status:
        detail = f"There is no {path}; /docs lists what there is."
        return problem_response(scope, KINDS["not_found"], detail)
    if status == KINDS["method_not_allowed"].status:
        allowed = ", ".join(_allowed_methods(scope))
        detail = f"{path} does not take {scope['method']}; it takes {allowed}."
        return problem_response(scope, KINDS["method_not_allowed"], detail, {"Allow": allowed})
    # Not raised by any route; a library between the server and them might.
    code = "invalid_request" if status < KINDS["internal"].status else "internal"
    kind = ProblemKind(status, code, title_of(status))
    return problem_response(scope, kind, error.detail, dict(error.headers or {}))


def serving_error_response(scope: Scope, error: ServingError) -> Response:
    """Answer an error of ours; one that is the server's fault inside is logged."""
    response = error_response(scope, error)
    if response.status_code == KINDS["internal"].status:
        _log_failure(scope, error)
    return response


def internal_error_response(scope: Scope, error: Exception) -> Response:
    """Answer an exception that nobody expected; its text stays in the log."""
    _log_failure(scope, error)
    kind = KINDS["internal"]
    return problem_response(scope, kind, kind.example)


def _log_failure(scope: Scope, error: Exception) -> None:
    record = record_of(scope)
    # The batcher has logged why the network failed, once for all images that it failed on.
    trace = None if isinstance(error, ExecutionError) else error
    fields = {"request_id": record.request_id, "error": str(error)}
    logger.error("request failed", extra=fields, exc_info=trace)


def _allowed_methods(scope: Scope) -> list[str]:
    methods: set[str] = set()
    for route in scope["app"].router.routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")  # the middleware answers it
    return sorted(methods)
