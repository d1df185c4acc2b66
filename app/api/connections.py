"""What every connection of the service gets, whoever listens for it."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import State

from app.api.protocol import gated
from app.lifecycle import Lifecycle
from app.patience import PatiencePolicy

# Of every answer, also those that uvicorn gives by itself to what is no HTTP. Pages say more of
# what they may load, in a policy of their own: browsers keep to both.
_SECURITY_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),  # for browsers that do not know frame-ancestors
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
]


def connection_options(state: State, patience: PatiencePolicy | None = None) -> dict[str, Any]:
    """Return what uvicorn's ``Config`` takes for the connections of an application.

    Args:
        state: Of the application, as ``app.main`` and ``app.api.install`` have set it.
        patience: With slow clients.
    """
    lifecycle: Lifecycle = state.lifecycle
    headers, options = list(_SECURITY_HEADERS), {}
    if lifecycle.certificate is not None:
        context = lifecycle.certificate.context
        options["ssl_context_factory"] = lambda config, default: context
        if lifecycle.hsts_max_age_s:
            headers.append(("Strict-Transport-Security", f"max-age={lifecycle.hsts_max_age_s}"))
    return {
        "http": gated(state.gate, state.lane, patience=patience),
        "headers": headers,
        "ws": "none",  # what speaks WebSocket would be whatever happens to be installed
        "server_header": False,
        "log_config": None,  # app.logging formats every line
        "access_log": False,  # app.api.accounts writes one line per request
        # The client stays the peer of the connection, whatever a header says of another one: what
        # is allowed to this machine only hangs on it. Limits ask app.access.proxies.
        "proxy_headers": False,
        **options,
    }
