"""The service with a certificate, over real sockets."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.client import Client
from app.settings import Settings, SettingsError
from tests.api.live_server import LiveServer, listening
from tests.api.world import PATIENCE_S, add_version, picture
from tests.certificates import Authority, name_in

pytestmark = pytest.mark.timeout(60)

RAW = {"Content-Type": "image/png"}


class Secured:
    """A server with a certificate, and what its clients need."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.store.mkdir()
        add_version(self.store)
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.authority = Authority()
        self.write("first")

    def write(self, name: str) -> None:
        self.authority.write(self.certificate, self.key, name)

    @contextmanager
    def listening(self, **settings: object) -> Iterator[LiveServer]:
        files = {"tls_certificate_file": self.certificate, "tls_key_file": self.key}
        quickly = {"store_poll_interval_s": 0.05}
        with listening(self.store, **(files | quickly | settings)) as server:
            yield server

    def connect(self, port: int) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE_S, context=self.authority.client_context()
        )
        connection.connect()
        return connection

    def name_shown(self, port: int) -> str:
        connection = self.connect(port)
        try:
            assert isinstance(connection.sock, ssl.SSLSocket)
            return name_in(connection.sock)
        finally:
            connection.close()

    def wait_until_shown(self, port: int, name: str) -> None:
        while self.name_shown(port) != name:
            pass  # ends by the test's timeout


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def classify(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    connection.request("POST", "/v1/classify", picture(), RAW)
    response = connection.getresponse()
    response.read()
    return response


def test_both_ports_speak_tls_and_nothing_else(secured: Secured) -> None:
    with secured.listening(admin_port=0) as server:
        for port in (server.port, server.admin_port):
            assert port is not None
            connection = secured.connect(port)
            assert classify(connection).status == 200
            connection.close()
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
                plain.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                assert not plain.recv(16).startswith(b"HTTP")


def test_short_ways_work_inside_of_tls(secured: Secured) -> None:
    with secured.listening() as server:
        connection = secured.connect(server.port)
        assert [classify(connection).status for _ in range(3)] == [200] * 3
        assert "/v1/classify" not in server.begun
        connection.close()


def test_new_certificate_counts_for_new_connections_and_drops_none(secured: Secured) -> None:
    with secured.listening() as server:
        held = secured.connect(server.port)
        assert classify(held).status == 200
        puppet = server.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        held.request("POST", "/v1/classify", picture(), RAW)
        puppet.wait_began(before + 1)

        secured.write("second")
        secured.wait_until_shown(server.port, "second")

        puppet.let_go()
        response = held.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
        assert isinstance(held.sock, ssl.SSLSocket)
        assert name_in(held.sock) == "first"
        assert classify(held).status == 200
        held.close()


def test_certificate_that_cannot_be_used_keeps_the_old_one_and_is_counted(
    secured: Secured,
) -> None:
    with secured.listening() as server:

        def counted(outcome: str) -> float:
            registry = server.lifecycle.metrics.registry
            name = "keraserve_certificate_changes_total"
            return registry.get_sample_value(name, {"outcome": outcome}) or 0

        secured.certificate.write_text("broken")
        while not counted("refused"):
            pass  # ends by the test's timeout
        assert secured.name_shown(server.port) == "first"
        assert counted("taken") == 0
        secured.write("mended")
        secured.wait_until_shown(server.port, "mended")
        assert counted("taken") >= 1


def test_browsers_are_told_to_stay_with_tls(secured: Secured) -> None:
    for settings, expected in (({}, "max-age=31536000"), ({"hsts_max_age_s": 0}, None)):
        with secured.listening(**settings) as server:
            connection = secured.connect(server.port)
            assert classify(connection).headers["strict-transport-security"] == expected
            connection.close()


def test_client_trusts_whom_it_is_told_to(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(secured.authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with secured.listening() as server, Client(f"https://localhost:{server.port}") as client:
        assert client.classify(picture()).model == "cifar10"


def test_service_does_not_begin_with_a_certificate_that_cannot_be_used(secured: Secured) -> None:
    secured.certificate.write_text("broken")
    with (
        pytest.raises(SettingsError, match="KERASERVE_TLS_CERTIFICATE_FILE") as caught,
        secured.listening(),
    ):
        pass
    assert str(secured.certificate) in str(caught.value)


def test_settings_of_tls_go_together(secured: Secured) -> None:
    with pytest.raises(ValueError, match="KERASERVE_TLS_KEY_FILE go together"):
        Settings(tls_certificate_file=secured.certificate)
