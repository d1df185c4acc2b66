"""The server under load: where it is, whether it is ready, and what it counts itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from app.errors import ServingError
from app.load.connection import Address
from app.load.counters import parse_totals
from app.load.requests import image_request

if TYPE_CHECKING:
    import httpx

_CLASSIFY = "/v1/classify"
_ANSWER_S = 10.0
_METRICS_S = 3.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TargetError(ServingError):
    """The server cannot be measured; the message is for people."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answered the first image.

    Attributes:
        model: Name of the model.
        version: Its version.
    """

    model: str
    version: int


class Target:
    """One Keraserve server, asked a few questions before, between and after loads.

    Close it; it is a context manager.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], query: Mapping[str, str | int]
    ) -> None:
        """Read the address.

        Args:
            url: ``http`` or ``https``, host, port, and a path where the server is below one.
            headers: With each request: the API key.
            query: Of ``/v1/classify``.

        Raises:
            TargetError: It is no such URL.
        """
        import httpx  # here: the server, which has the same command, does not need it

        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        try:
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
            host = (parts.hostname or "").encode("idna" if parts.hostname else "ascii").decode()
        except (KeyError, ValueError):
            host, port = "", 0
        if not host or parts.query or parts.fragment or parts.username:
            raise TargetError(
                f"{url!r} is no address of a server; for example http://127.0.0.1:8000"
            )
        self._host = f"[{host}]" if ":" in host else host
        if port != _DEFAULT_PORTS[parts.scheme]:
            self._host += f":{port}"
        self.address = Address(
            host, port, ssl.create_default_context() if parts.scheme == "https" else None
        )
        self._headers = dict(headers)
        self._path = f"{parts.path}{_CLASSIFY}" + (f"?{urlencode(query)}" if query else "")
        self._client = httpx.Client(headers=self._headers, timeout=_ANSWER_S)

    def __enter__(self) -> Target:
        """Do nothing more than ``__init__`` has done."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._client.close()

    def request(self, path: Path, content: str) -> bytes:
        """Return the whole request for one image, head and body."""
        return image_request(path, self._host, self._path, content, self._headers)

    def check(self, request: bytes) -> Answering:
        """Make sure that the server is ready and classifies an image.

        Args:
            request: One of ``request``.

        Raises:
            TargetError: It is not there, not ready, or answers anything but 200; says why.
        """
        ready = self._ask("GET", f"{self.url}/readyz")
        if ready.status_code != 200:
            reasons = _document(ready).get("reasons")
            if ready.status_code == 503 and isinstance(reasons, list):
                raise TargetError(f"{self.url} is not ready: {'; '.join(map(str, reasons))}")
            raise TargetError(
                f"{self.url}/readyz answered {ready.status_code}; is it a Keraserve server?"
            )
        head, _, body = request.partition(b"\r\n\r\n")
        line, *fields = head.decode("ascii").split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        scheme = "https" if self.address.tls else "http"
        url = f"{scheme}://{self._host}{line.split(' ')[1]}"
        answer = self._ask("POST", url, headers=headers, content=body)
        document = _document(answer)
        if answer.status_code != 200:
            detail = document.get("detail", "is it a Keraserve server?")
            raise TargetError(f"{self.url} answered the first image {answer.status_code}: {detail}")
        try:
            return Answering(str(document["model"]), int(document["version"]))
        except (KeyError, TypeError, ValueError) as error:
            raise TargetError(f"{url} names no model; is it a Keraserve server?") from error

    def counters(self) -> dict[str, float] | None:
        """Return the server's ``/metrics``, summed over labels; None where out of reach."""
        import httpx

        try:
            answer = self._client.get(f"{self.url}/metrics", timeout=_METRICS_S)
            return parse_totals(answer.text) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, IndexError):  # not there, or no metrics
            return None

    def _ask(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        import httpx

        try:
            return self._client.request(method, url, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TargetError(f"{self.url} does not answer: {error}") from error


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
