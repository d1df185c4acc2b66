"""Asks the server of this machine whether it is ready: ``python -m app.readyz``.

For the health check of a container: no curl, and nothing imported that takes time. Address and
TLS are those of the environment, as a container has them; what is set by flags or ``.env`` is not
seen.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

# Below the time limit of the health check, so that the reason is told.
_TIMEOUT_S = 4.0
# A server that listens on every address is asked at this machine's own.
_OWN = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def connection(environment: Mapping[str, str]) -> http.client.HTTPConnection:
    """Return a connection, not yet open, to where a server with these variables listens.

    The certificate is not looked at: it is for another name than that of this machine to itself.
    """
    host = environment.get("KERASERVE_HOST") or "127.0.0.1"
    host, port = _OWN.get(host, host), int(environment.get("KERASERVE_PORT") or 8000)
    if not environment.get("KERASERVE_TLS_CERTIFICATE_FILE"):
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)


def unready(environment: Mapping[str, str]) -> str | None:
    """Return why the server is not ready; None if it is."""
    try:
        with_server = connection(environment)
    except ValueError as error:
        return f"KERASERVE_PORT: {error}"
    try:
        with_server.request("GET", "/readyz")
        answer = with_server.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{with_server.host}:{with_server.port} does not answer: {error}"
    finally:
        with_server.close()
    return None if answer.status == http.client.OK else body


if __name__ == "__main__":
    sys.exit(unready(os.environ))
