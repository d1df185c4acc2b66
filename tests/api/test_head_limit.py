"""Heads without an end: the connection is answered and closed, and holds no more than a limit."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api.head_limit import MOST_HEAD_BYTES, MOST_HEADERS
from tests.api.live_server import LiveServer, listening
from tests.api.world import PATIENCE_S, picture

HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: test\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with listening(tmp_path) as server:
        yield server


def sent_until_closed(server: LiveServer, start: bytes, piece: bytes) -> tuple[int, bytes]:
    """Send a piece again and again; return the bytes that went, and what came back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        sent = 0
        try:
            connection.sendall(start)
            while sent < 2_000 * len(piece):
                connection.sendall(piece)
                sent += len(piece)
            return sent, connection.recv(65_536)
        except OSError:  # it is closed while more is on the way
            return sent, b""


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /", b"a" * 16_384),
        (HEAD + b"X-A: ", b"a" * 16_384),
        (HEAD, b"X-a: b\r\n" * 2_048),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-a: b\r\n" * 2_048),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", b"a" * 16_384),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 16_384),
    ],
    ids=["line", "one header", "headers", "trailers", "one trailer", "extension"],
)
def test_endless_head_is_cut_off(server: LiveServer, start: bytes, piece: bytes) -> None:
    sent, answer = sent_until_closed(server, start, piece)

    # What the sockets hold is on the way when it is closed.
    assert sent < 2_000 * len(piece)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_head_of_too_many_headers_in_one_piece_is_refused(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(HEAD + b"X-a: b\r\n" * MOST_HEADERS + b"\r\n")

        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
    assert "/v1/classify" not in server.begun


def test_head_within_the_limits_is_read_however_it_comes(server: LiveServer) -> None:
    headers = b"X-a: b\r\n" * (MOST_HEADERS - 10) + b"X-long: " + b"a" * (MOST_HEAD_BYTES // 2)
    request = b"GET /livez HTTP/1.1\r\nHost: test\r\n" + headers + b"\r\n\r\n"
    for size in (1_000, len(request)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
            for at in range(0, len(request), size):
                connection.sendall(request[at : at + size])

            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_bodies_and_many_requests_do_not_count(server: LiveServer) -> None:
    connection = server.connect()
    try:
        for _ in range(3):
            body = picture() + bytes(3 * MOST_HEAD_BYTES)
            connection.request("POST", "/v1/classify", body, {"Content-Type": "image/png"})
            response = connection.getresponse()
            assert (response.status, len(response.read()) > 0) == (200, True)
        for _ in range(MOST_HEAD_BYTES // 64):  # more than the limit, all heads together
            connection.request("GET", "/livez", headers={"X-Long": "a" * 100})
            assert http.client.HTTPResponse.read(connection.getresponse())
    finally:
        connection.close()
