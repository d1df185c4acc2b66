"""What a service meets in a day, in a second: images, rubbish, hurry and crowds."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from tests.factories.images import encode, noise_image

CROWD = 24
"""Connections at once: more than the service of the test has room for."""

_FORMATS = ("PNG", "JPEG", "WEBP")


class Load:
    """Sends it in rounds; each thread keeps its connection."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._pool = ThreadPoolExecutor(CROWD)
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._rounds = 0

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def round(self) -> set[int]:
        """Send some of everything; return the codes of the answers."""
        self._rounds += 1
        bodies = [
            encode(noise_image(32, 32, seed=self._rounds * 1000 + n % 40), _FORMATS[n % 3])
            for n in range(96)  # some are alike: they are kept, or wait for one another
        ]
        asked = [(body, "") for body in bodies]
        asked += [(body, "?model=fashion_mnist") for body in bodies[::8]]
        unseen = encode(noise_image(32, 32, seed=10**6 + self._rounds), "PNG")
        asked += [(unseen, "?timeout_ms=1"), (b"no image", ""), (unseen, "?model=none")] * 4
        return set(self._pool.map(self._ask, asked))

    def _ask(self, asked: tuple[bytes, str]) -> int:
        body, query = asked
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._address, timeout=30)
            self._local.connection = connection
            self._connections.append(connection)
        try:
            return _status(connection, body, query)
        except ConnectionError:  # it lay idle for too long, on a machine that stood still
            connection.close()
            return _status(connection, body, query)


def _status(connection: http.client.HTTPConnection, body: bytes, query: str) -> int:
    connection.request("POST", f"/v1/classify{query}", body, {"Content-Type": "image/png"})
    with connection.getresponse() as response:
        response.read()
        return int(response.status)
