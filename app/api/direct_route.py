"""Routes that FastAPI documents, and that a request reaches without passing through it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeAlias

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.error_handlers import serving_error_response
from app.errors import ServingError

Endpoint: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]


class DirectRoute(APIRoute):
    """Calls its endpoint with the request alone, and sends the response that it returns.

    FastAPI's dependency solving and response validation cost about 120 µs per request, of which
    a route that parses its own few parameters needs nothing (benchmark: 30 µs against 150 µs for
    an empty answer). Parameters and body are documented through ``openapi_extra``.
    """

    def get_route_handler(self) -> Endpoint:
        """Return the endpoint itself."""
        endpoint: Endpoint = self.endpoint
        return endpoint


class DirectRoutes:
    """Looks the path of a request up among the direct routes, and has the router do the rest.

    For the routes that are asked thousands of times a second: a quarter of the time of a whole
    classification went into the layers between a request and its endpoint, whose outcome is the
    same for each (``benchmarks/README.md``). What a route raises is answered as everywhere.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        """Take the routes without parameters in their paths; ``app`` answers all else."""
        self._app = app
        self._routes = {
            (method, route.path): (route, route.get_route_handler())
            for route in routes
            if isinstance(route, DirectRoute) and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = None
        if scope["type"] == "http" and not scope.get("root_path"):
            found = self._routes.get((scope["method"], scope["path"]))
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], endpoint = found
        try:
            response = await endpoint(Request(scope, receive))
        except ServingError as error:
            response = serving_error_response(scope, error)
        await response(scope, receive, send)
