"""Everything that knows HTTP; one module per family of routes.

``classify``, ``models``, ``samples``, ``admin``, ``debug``, ``health``, ``metrics``, ``docs``,
``playground``
    Routes.
``query``, ``uploads``, ``single_part``, ``multipart``, ``json_body``,
``admin_schemas``, ``entries``, ``answer``
    What comes in and what goes out; most of the schemas are ``app.schemas``.
``access``, ``local``
    Whether a request may do what it asks.
``problems``, ``error_handlers``
    From an exception to a problem document: the one table of codes and statuses.
``middleware``, ``record``, ``accounts``, ``refusal_log``, ``flight_recorder``, ``disconnect``
    What every request gets: id, log line, metrics, and an end when its client leaves.
``tracing``
    Whether a request is traced, and what its trace says of it.
``admission``, ``gate``
    Whether there is room for a classification; asked in its route, and under overload before that.
``express``, ``protocol``, ``written``
    The short way of the usual classification, and where a connection takes it.
``connections``
    What every connection gets: those ways, TLS, and headers that keep browsers from mischief.
``openapi``, ``direct_route``, ``dependencies``
    What ties routes to FastAPI and to the application.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from app.api import admin, classify, debug, docs, health, metrics, models, playground, samples
from app.api.accounts import RequestAccounts
from app.api.direct_route import DirectRoutes
from app.api.error_handlers import install_error_handlers
from app.api.express import ExpressLane
from app.api.flight_recorder import FlightRecorder
from app.api.gate import RefusalGate
from app.api.middleware import RequestMiddleware
from app.api.openapi import build_openapi

# In the order in which paths are compared: the busiest first.
_FAMILIES = (classify, health, metrics, models, samples, admin, debug, docs, playground)


def install(app: FastAPI, cors_origins: Sequence[str] = ()) -> None:
    """Mount everything on an application whose ``state.lifecycle`` has been set.

    ``state.gate`` and ``state.lane`` are set: a server that asks them works at less cost.

    Args:
        app: Not yet started.
        cors_origins: Whose pages may read the answers.
    """
    # Not include_router(): it resolves each request through a second table of routes. In front:
    # FastAPI has put a route for its own OpenAPI document there.
    app.router.routes[:0] = [route for family in _FAMILIES for route in family.router.routes]
    app.router.redirect_slashes = False
    app.openapi = partial(build_openapi, app)  # type: ignore[method-assign]
    install_error_handlers(app)
    recorder = app.state.recorder = FlightRecorder(app.state.lifecycle.recorder_policy)
    accounts = RequestAccounts(app.state.lifecycle.metrics, recorder)
    gate = RefusalGate(app, app.state.lifecycle, accounts)
    lane = ExpressLane(
        app, app.state.lifecycle, accounts, on_begun=gate.note_begun, is_open=not cors_origins
    )
    app.state.gate, app.state.lane = gate, lane
    stack = partial(_build_stack, app, accounts, tuple(cors_origins))
    app.build_middleware_stack = stack  # type: ignore[method-assign]


def _build_stack(app: FastAPI, accounts: RequestAccounts, cors_origins: Sequence[str]) -> ASGIApp:
    """Return all layers, ours outside of FastAPI's, which direct routes need not pass."""
    lifecycle = app.state.lifecycle
    outermost = FastAPI.build_middleware_stack(app)
    # It would answer what nobody expected with a text of its own before ours is told of it.
    assert isinstance(outermost, ServerErrorMiddleware), "the first layer, by its documentation"
    stack: ASGIApp = DirectRoutes(outermost.app, app.router.routes)
    stack = RequestMiddleware(
        stack,
        accounts,
        on_cut_off=lifecycle.request_cut_off,
        sampler=lifecycle.trace_sampler,
    )
    if cors_origins:
        stack = CORSMiddleware(
            stack,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],  # those of our routes
            allow_headers=["*"],
            expose_headers=[
                "X-Request-Id",
                "Server-Timing",
                "Retry-After",
                "X-Cache",
                "Traceresponse",
                "RateLimit",
                "RateLimit-Policy",
                "RateLimit-Limit",
                "RateLimit-Remaining",
                "RateLimit-Reset",
            ],
        )
    return stack
