"""``/``: the playground, a page for people; static files, which no other host is asked for."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "web" / "playground"
_PAGE = "index.html"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}

# Nothing inline and nothing from elsewhere: a file name or a class that is markup stays text even
# where the page had a fault. blob: shows pictures that were not uploaded yet, or that need a key.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    # Asked for again each time, and answered 304 with a few bytes: a page and modules of two
    # releases never meet.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


# Comments that have their lines to themselves. No string of a module holds such a line.
_COMMENT = re.compile(rb"^[ \t]*(?://[^\n]*|/\*(?:[^*]|\*(?!/))*\*/[ \t]*)$", re.MULTILINE)
_COMMENTED = frozenset({".js", ".css"})


@dataclass(frozen=True, slots=True)
class _Asset:
    """One file, as it is sent.

    Attributes:
        content: Its bytes.
        compressed: The same with gzip; None where that saves nothing.
        tag: ``ETag`` of the content, without quotes.
        media_type: For ``Content-Type``.
    """

    content: bytes
    compressed: bytes | None
    tag: str
    media_type: str


@router.get("/")
async def page(request: Request) -> Response:
    """Show people what the server does, with their own pictures."""
    return await _answer(request, _PAGE)


@router.get("/playground/{name}")
async def asset(request: Request, name: str) -> Response:
    """Give one file of the page."""
    if name not in _names():
        raise HTTPException(404)
    return await _answer(request, name)


async def _answer(request: Request, name: str) -> Response:
    # In a thread: the first time, it is read and compressed.
    found = await run_in_threadpool(_load, name)
    body, tag, headers = found.content, f'"{found.tag}"', dict(_HEADERS)
    if found.compressed is not None and _takes_gzip(request.headers.get("accept-encoding", "")):
        body, tag = found.compressed, f'"{found.tag}-gzip"'
        headers["Content-Encoding"] = "gzip"
    headers["ETag"] = tag
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=found.media_type)


def _takes_gzip(accepted: str) -> bool:
    """Say whether ``Accept-Encoding`` names gzip, and does not refuse it by ``q=0``. Pure."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(
        path.name for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES.keys() - {".html"}
    )


@cache  # as many as there are files: names are checked before
def _load(name: str) -> _Asset:
    path = _FOLDER / name
    content = path.read_bytes()
    if path.suffix in _COMMENTED:
        content = _without_comments(content)
    compressed = gzip.compress(content, mtime=0)
    return _Asset(
        content=content,
        compressed=compressed if len(compressed) < 0.9 * len(content) else None,
        tag=hashlib.sha256(content).hexdigest()[:32],
        media_type=_MEDIA_TYPES[path.suffix],
    )


def _without_comments(source: bytes) -> bytes:
    """Empty the lines of comments, which are for readers of the source; no line moves."""
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), source)
