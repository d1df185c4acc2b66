"""Everything that knows HTTP; one module per family of routes.

``classify``, ``models``, ``admin``, ``health``, ``metrics``, ``docs``
    Routes.
``query``, ``uploads``, ``multipart``, ``json_body``, ``schemas``, ``admin_schemas``
    What comes in and what goes out.
``access``, ``local``
    Whether a request may do what it asks.
``problems``, ``error_handlers``
    From an exception to a problem document: the one table of codes and statuses.
``middleware``, ``record``, ``disconnect``
    What every request gets: id, log line, metrics, and an end when its client leaves.
``openapi``, ``direct_route``, ``dependencies``
    What ties routes to FastAPI and to the application.
"""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI

from app.api import admin, classify, docs, health, metrics, models
from app.api.error_handlers import install_error_handlers
from app.api.middleware import RequestMiddleware
from app.api.openapi import build_openapi

# In the order in which paths are compared: the busiest first.
_FAMILIES = (classify, health, metrics, models, admin, docs)


def install(app: FastAPI) -> None:
    """Mount everything on an application whose ``state.lifecycle`` has been set."""
    # Not include_router(): it resolves each request through a second table of routes. In front:
    # FastAPI has put a route for its own OpenAPI document there.
    app.router.routes[:0] = [route for family in _FAMILIES for route in family.router.routes]
    app.router.redirect_slashes = False
    app.openapi = partial(build_openapi, app)  # type: ignore[method-assign]
    install_error_handlers(app)
    lifecycle = app.state.lifecycle
    app.add_middleware(
        RequestMiddleware, metrics=lifecycle.metrics, on_cut_off=lifecycle.request_cut_off
    )
