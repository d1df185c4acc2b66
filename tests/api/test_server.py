"""What only real sockets show: large refused bodies, clients that leave, kept connections."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.live_server import LiveServer, listening
from tests.api.world import PATIENCE_S, add_version, picture

LIMIT_BYTES = 1024 * 1024
FORM = "multipart/form-data; boundary=b"
MUCH = bytes(32 * 1024 * 1024)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    add_version(tmp_path)
    with listening(tmp_path, max_upload_bytes=LIMIT_BYTES) as server:
        yield server


def form(part: str, content: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{part}"; filename="a"\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("/v1/classify", "image/png", MUCH, 413),
        ("/v1/classify", FORM, form("file", MUCH), 413),
        ("/v1/classify/batch", FORM, form("files", MUCH), 413),
        ("/v1/classify/batch", "image/png", MUCH, 415),
        ("/v1/classify?model=none", "image/png", MUCH, 404),
        ("/nowhere", "image/png", MUCH, 404),
    ],
    ids=["body", "form", "batch", "no form", "no model", "no route"],
)
def test_client_that_sends_everything_first_still_reads_why_it_was_refused(
    server: LiveServer, path: str, content_type: str, body: bytes, status: int, is_chunked: bool
) -> None:
    connection = server.connect()
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    connection.request(
        "POST",
        path,
        body=pieces if is_chunked else body,
        headers={"Content-Type": content_type},
        encode_chunked=is_chunked,
    )
    response = connection.getresponse()
    assert response.status == json.loads(response.read())["status"] == status
    assert response.headers["connection"] == "close"
    connection.close()


def test_client_that_asks_before_it_sends_is_spared_the_body(server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_small_refusals_keep_the_connection(server: LiveServer) -> None:
    connection = server.connect()
    for path, content_type, status in (
        ("/v1/classify", "text/plain", 415),
        ("/v1/classify?model=none", "image/png", 404),
        ("/v1/classify", "image/png", 200),
    ):
        connection.request("POST", path, picture(), {"Content-Type": content_type})
        response = connection.getresponse()
        assert response.status == status
        assert "connection" not in response.headers
        response.read()
    connection.close()


class Lines(logging.Handler):
    """Waits for the log line of a request."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if vars(record).get("status") == self._status:
            self.came.set()


@pytest.fixture
def left() -> Iterator[Lines]:
    logger, lines = logging.getLogger("app.request"), Lines(499)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    yield lines
    logger.removeHandler(lines)
    logger.setLevel(level)


def test_client_that_hangs_up_while_its_image_is_executed_is_noticed(
    server: LiveServer, left: Lines
) -> None:
    before = len(server.puppets["cifar10:1"].executed)
    server.puppets["cifar10:1"].hold()
    leaving = server.connect()
    leaving.request("POST", "/v1/classify", picture(), {"Content-Type": "image/png"})
    server.puppets["cifar10:1"].wait_began(before + 1)
    leaving.close()
    assert left.came.wait(PATIENCE_S)
    registry = server.lifecycle.metrics.registry
    labels = {"model": "cifar10", "version": "1", "outcome": "cancelled"}
    assert registry.get_sample_value("keraserve_images_total", labels) == 1
    server.puppets["cifar10:1"].let_go()
    staying = server.connect()
    staying.request("POST", "/v1/classify", picture(), {"Content-Type": "image/png"})
    assert staying.getresponse().status == 200
    staying.close()


def test_client_that_hangs_up_within_its_body_is_noticed(server: LiveServer, left: Lines) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
            b"Content-Length: 5000\r\n\r\n\x89PNG"
        )
    assert left.came.wait(PATIENCE_S)


def test_requests_sent_before_the_first_answer_are_answered_in_order(server: LiveServer) -> None:
    content = picture()
    head = (
        b"POST /v1/classify?top_k=%d HTTP/1.1\r\nHost: test\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\nConnection: %s\r\n\r\n"
    )
    kinds = ((1, b"keep-alive"), (2, b"keep-alive"), (3, b"close"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"".join(head % (k, len(content), kind) + content for k, kind in kinds))
        with connection.makefile("rb") as answers:
            received = answers.read()  # up to the end: what one answer is read with may hold more
    assert [len(answer["predictions"]) for answer in bodies(received)] == [1, 2, 3]


def bodies(received: bytes) -> Iterator[dict[str, Any]]:
    """Yield the documents of several answers that came on one connection."""
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert length
        yield json.loads(rest[: int(length[1])])
        received = rest[int(length[1]) :]
