"""The probe of containers, against a server that answers as told."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.readyz import connection, unready
from tests.certificates import Authority

pytestmark = pytest.mark.timeout(30)

ROOT = Path(__file__).resolve().parents[2]
REASONS = '{"status": "unready", "reasons": ["cifar10: WARMING"]}'


@contextmanager
def served(status: int, context: ssl.SSLContext | None = None) -> Iterator[dict[str, str]]:
    """A server whose /readyz has this status; yields the variables that lead to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(REASONS.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield {"KERASERVE_PORT": str(server.server_port)}
        finally:
            server.shutdown()
            thread.join()


def test_server_that_is_ready_is_healthy() -> None:
    with served(200) as environment:
        assert unready(environment) is None


def test_server_that_is_not_ready_says_why() -> None:
    with served(503) as environment:
        assert unready(environment) == REASONS


def test_server_with_a_certificate_for_another_name_is_asked_by_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    Authority().write(certificate, key, "example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(200, context) as environment:
        assert unready({**environment, "KERASERVE_TLS_CERTIFICATE_FILE": str(certificate)}) is None
        assert "does not answer" in str(unready(environment))


def test_nobody_at_the_port_is_told_with_the_address() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = unready({"KERASERVE_PORT": str(port)})
    assert found is not None
    assert found.startswith(f"127.0.0.1:{port} does not answer: ")


def test_port_that_is_none_is_named() -> None:
    assert str(unready({"KERASERVE_PORT": "http"})).startswith("KERASERVE_PORT: ")


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        pytest.param({}, ("127.0.0.1", 8000), id="the defaults of the settings"),
        pytest.param({"KERASERVE_HOST": "0.0.0.0"}, ("127.0.0.1", 8000), id="every address"),
        pytest.param({"KERASERVE_HOST": "::"}, ("::1", 8000), id="every address of IPv6"),
        pytest.param({"KERASERVE_HOST": "10.1.2.3"}, ("10.1.2.3", 8000), id="one address"),
        pytest.param(
            {"KERASERVE_HOST": "", "KERASERVE_PORT": ""}, ("127.0.0.1", 8000), id="empty is unset"
        ),
    ],
)
def test_server_is_asked_where_it_listens(
    environment: dict[str, str], asked: tuple[str, int]
) -> None:
    found = connection(environment)
    assert (found.host, found.port) == asked


def test_command_ends_as_health_checks_read_it_and_imports_nothing_of_the_server() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "app.readyz"]
    with served(503) as environment:
        unhealthy = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert unhealthy.returncode == 1
    assert REASONS in unhealthy.stderr
    imported = {line.rpartition("|")[2].strip() for line in unhealthy.stderr.splitlines()}
    assert "http.client" in imported
    assert {name.partition(".")[0] for name in imported}.isdisjoint({"pydantic", "numpy"})

    with served(200) as environment:
        healthy = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, check=False
        )
    assert healthy.returncode == 0
