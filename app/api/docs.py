"""``/docs``, ``/redoc`` and ``/openapi.json``, all served from here: no other host is asked."""

from __future__ import annotations

import json
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

router = APIRouter(include_in_schema=False)

OPENAPI_URL = "/openapi.json"

_FOLDER = Path(__file__).parents[1] / "web" / "docs"
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
_ASSETS_URL = "/docs/assets"

# The pages bring inline scripts and styles, and ReDoc a worker. What matters is that nothing can
# be loaded from, or sent to, another host.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"
)


@router.get("/docs")
async def swagger_ui(request: Request) -> Response:
    """Show the API with forms to try it."""
    return _page(
        get_swagger_ui_html(
            openapi_url=OPENAPI_URL,
            title=f"{request.app.title}: API",
            swagger_js_url=f"{_ASSETS_URL}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS_URL}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS_URL}/favicon.png",
            swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
        )
    )


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """Show the API for reading."""
    return _page(
        get_redoc_html(
            openapi_url=OPENAPI_URL,
            title=f"{request.app.title}: API reference",
            redoc_js_url=f"{_ASSETS_URL}/redoc.standalone.js",
            redoc_favicon_url=f"{_ASSETS_URL}/favicon.png",
            with_google_fonts=False,
        )
    )


@router.get(OPENAPI_URL)
async def openapi_document(request: Request) -> Response:
    """Describe every route."""
    body = json.dumps(request.app.openapi(), ensure_ascii=False, separators=(",", ":"))
    return Response(body, media_type="application/json")


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Give browsers the icon that they ask for by themselves."""
    return _asset("favicon.png")


@router.get(_ASSETS_URL + "/{name}")
async def asset(name: str) -> Response:
    """Give one file of the pages."""
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    return _asset(name)


def _asset(name: str) -> Response:
    # Revalidated by ETag at most daily; the names carry no version.
    headers = {"Cache-Control": "public, max-age=86400"}
    return FileResponse(_FOLDER / name, media_type=_MEDIA_TYPES[name], headers=headers)


def _page(page: HTMLResponse) -> Response:
    page.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    return page
