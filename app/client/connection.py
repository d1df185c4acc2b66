"""What both clients put into httpx, and what is wrong with an address or a key."""

from __future__ import annotations

from typing import Any

import httpx

from app import __version__
from app.client.calls import Call
from app.tracing.propagation import outgoing_headers

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0
RETRIES = 2

_MOST_CONNECT_S = 5.0
"""To connect takes one round trip: longer, packets are lost, and a new attempt does better."""


def settings(url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of ``httpx.Client`` and ``httpx.AsyncClient``.

    Raises:
        ValueError: An address that is none, a key that no key can be, or a timeout of nothing.
    """
    if not timeout_s > 0:
        raise ValueError(f"timeout_s is {timeout_s:g}; it must be above 0")
    try:
        parsed = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no address: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no address; one begins with http:// or https://")
    headers = {"User-Agent": f"keraserve/{__version__}"}
    if api_key is not None:
        if not (api_key and api_key.isascii() and api_key.isprintable()):
            raise ValueError("the API key has characters that no key has")
        headers["Authorization"] = f"Bearer {api_key}"
    # No redirects: they would take the key, and the picture, to wherever somebody says.
    return {"base_url": parsed, "headers": headers, "follow_redirects": False}


def build_request(http: httpx.Client | httpx.AsyncClient, call: Call[Any], within_s: float) -> Any:
    """Return the request of a call; no phase of it may wait longer than ``within_s``."""
    left_s = max(within_s, 0.001)
    return http.build_request(
        call.method,
        httpx.URL(call.path).copy_merge_params(call.parameters),
        content=call.content,
        files=[(field, (name, content)) for field, name, content in call.files] or None,
        json=call.json,
        headers=call.headers | outgoing_headers(),
        timeout=httpx.Timeout(left_s, connect=min(left_s, _MOST_CONNECT_S)),
    )
