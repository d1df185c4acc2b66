"""Heads without an end: the connection is answered and closed, and holds no more than a limit."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def answer_to(server: LiveServer, request: bytes, piece_bytes: int | None = None) -> Any:
    """Send a request, in pieces, and return the answer, and its body."""
    size = piece_bytes or len(request)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        for at in range(0, len(request), size):
            connection.sendall(request[at : at + size])
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response, response.read()


@pytest.mark.parametrize("piece_bytes", [None, 20_000], ids=["one piece", "pieces"])
@pytest.mark.parametrize(
    "rest",
    [b"X-a: b\r\n" * MOST_HEADERS, b"X-long: " + b"a" * MOST_HEAD_BYTES + b"\r\n"],
    ids=["too many headers", "too long"],
)
def test_head_above_the_limits_is_refused_with_the_limits_however_it_comes(
    server: LiveServer, rest: bytes, piece_bytes: int | None
) -> None:
    response, body = answer_to(server, HEAD + rest + b"\r\n", piece_bytes)

    assert (response.status, response.headers["connection"]) == (400, "close")
    assert response.headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert (problem["code"], problem["status"]) == ("malformed_request", 400)
    assert problem["request_id"] == response.headers["x-request-id"]
    for part in (f"{MOST_HEAD_BYTES:,} bytes", f"{MOST_HEADERS:,} headers"):
        assert part in problem["detail"]
    assert "/v1/classify" not in server.begun


def test_what_is_no_request_is_told_so_as_every_other_error_is(server: LiveServer) -> None:
    response, body = answer_to(server, b"no request\r\n\r\n")

    assert (response.status, response.headers["connection"]) == (400, "close")
    problem = json.loads(body)
    assert problem["code"] == "malformed_request"
    assert "no request of HTTP" in problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]


def test_head_within_the_limits_is_read_however_it_comes(server: LiveServer) -> None:
    headers = b"X-a: b\r\n" * (MOST_HEADERS - 10) + b"X-long: " + b"a" * (MOST_HEAD_BYTES // 2)
    length = b"\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    body = picture() + bytes(3 * MOST_HEAD_BYTES)
    for request in (
        b"GET /livez HTTP/1.1\r\nHost: test\r\n" + headers + b"\r\n\r\n",
        HEAD + headers + length % len(picture()) + picture(),
        HEAD + headers + length % len(body) + body,
    ):
        for piece_bytes in (1_000, None):
            assert answer_to(server, request, piece_bytes)[0].status == 200


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
