"""The certificate: what new handshakes get as the files change, and break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from app.certificate import Certificate, CertificateFiles
from app.errors import CertificateError
from app.watching import WatchPolicy
from tests.certificates import Authority, name_in

pytestmark = pytest.mark.timeout(30)

QUICKLY = WatchPolicy("events", 0.05)


class Files:
    """A certificate and its key on disk, and what was told of their changes."""

    def __init__(self, folder: Path) -> None:
        (folder / "keys").mkdir()
        self.certificate, self.key = folder / "cert.pem", folder / "keys" / "key.pem"
        self.authority = Authority()
        self.told: list[bool] = []
        self.write("first")

    def write(self, name: str, password: bytes | None = None) -> None:
        self.authority.write(self.certificate, self.key, name, password)

    def read(self) -> Certificate:
        files = CertificateFiles(self.certificate, self.key, QUICKLY)
        return Certificate(files, self.told.append)

    def shown_by(
        self,
        certificate: Certificate,
        server_name: str = "localhost",
        *,
        only: ssl.TLSVersion | None = None,
    ) -> str:
        """Shake hands in memory; return whose certificate the client has seen."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
        context = self.authority.client_context()
        context.check_hostname = bool(server_name)
        if only is not None:  # what the client itself would refuse, too, is not proved by it
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = only
        client = context.wrap_bio(to_client, to_server, server_hostname=server_name or None)
        for _ in range(3):
            for side in (client, server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        return name_in(client)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_new_handshakes_get_the_new_certificate(files: Files) -> None:
    certificate = files.read()
    assert files.shown_by(certificate) == "first"
    files.write("second")
    assert files.shown_by(certificate) == "first", "until it is read again"
    certificate.reread()
    assert files.shown_by(certificate) == "second"
    assert files.shown_by(certificate, server_name="") == "second", "no server is named"
    assert files.told == [True]


def test_files_that_have_not_changed_are_not_read_again(files: Files) -> None:
    certificate = files.read()
    for _ in range(3):
        certificate.reread()
    assert files.told == []


@pytest.mark.parametrize("what", ["broken", "vanished", "of another key", "with a password"])
def test_files_that_cannot_be_used_change_nothing_and_are_told_once(
    files: Files, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = files.read()
    if what == "broken":
        files.certificate.write_text("no certificate")
    elif what == "vanished":
        files.key.unlink()
    elif what == "of another key":
        key = files.key.read_bytes()
        files.write("second")
        files.key.write_bytes(key)
    else:
        files.write("second", password=b"secret")
    for _ in range(3):
        certificate.reread()
    assert files.shown_by(certificate) == "first"
    assert files.told == [False]
    (record,) = errors(caplog)
    assert record.message == "certificate not read, the one before holds"
    assert str(files.certificate) in vars(record)["reason"]

    files.write("mended")
    certificate.reread()
    assert files.shown_by(certificate) == "mended"
    assert files.told == [False, True]


def test_what_was_taken_back_is_taken_again(files: Files) -> None:
    certificate = files.read()
    before = files.certificate.read_bytes()
    files.certificate.write_text("a slip")
    certificate.reread()
    files.certificate.write_bytes(before)
    certificate.reread()
    certificate.reread()
    assert files.shown_by(certificate) == "first"
    assert files.told == [False, True]


@pytest.mark.parametrize(
    ("what", "reason"),
    [("vanished", "No such file"), ("locked", "has a password"), ("broken", "PEM")],
)
def test_service_does_not_begin_without_a_certificate_that_it_was_given(
    files: Files, what: str, reason: str
) -> None:
    if what == "vanished":
        files.certificate.unlink()
    elif what == "locked":
        files.write("second", password=b"secret")
    else:
        files.certificate.write_text("no certificate")
    with pytest.raises(CertificateError, match=reason) as caught:
        files.read()
    assert str(files.certificate) in str(caught.value)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_of_tls_that_are_not_safe_are_not_spoken(files: Files) -> None:
    certificate = files.read()
    for name in ("first", "second"):
        files.write(name)
        certificate.reread()
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
                files.shown_by(certificate, only=version)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert files.shown_by(certificate, only=version) == name


async def test_files_are_followed_in_both_of_their_folders(files: Files) -> None:
    certificate = files.read()
    following = asyncio.create_task(certificate.follow())
    try:
        for name in ("second", "third"):
            files.write(name)
            async with asyncio.timeout(10):
                while files.shown_by(certificate) != name:
                    await checkpoint()
    finally:
        following.cancel()
        await asyncio.wait([following])
    assert following.cancelled()
