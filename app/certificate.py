"""The certificate of TLS: read from its files, and again when they change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.errors import CertificateError
from app.watching import WatchPolicy, follow_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate is.

    Attributes:
        certificate: The certificate and those of the authorities between it and the root, PEM.
        key: Its private key, PEM, without a password.
        watch: How both are watched.
    """

    certificate: Path
    key: Path
    watch: WatchPolicy


class Certificate:
    """Gives each new connection the certificate that the files hold then.

    Swap: a changed certificate is loaded into a context of its own, and takes over by one
    assignment: handshakes have all of the old one or all of the new. Connections keep what they
    began with.
    Failure: files that are missing, broken or do not go together change nothing; that is logged and
    told once per fault.
    Thread: ``reread`` blocks, and may be called in several threads at a time.

    Attributes:
        context: For the listener, once and for all; it hands each connection on.
    """

    def __init__(
        self, files: CertificateFiles, on_reread: Callable[[bool], object] = lambda is_good: None
    ) -> None:
        """Read it.

        Args:
            files: Where it is.
            on_reread: Told of each change that was noticed, and whether it could be taken.

        Raises:
            CertificateError: It cannot be used.
        """
        self._files = files
        self._on_reread = on_reread
        self._lock = threading.Lock()
        self._digest = self._digest_of_files()
        self._fault: str | None = None
        self.context = self._current = self._load()
        # Called for each handshake, also where the client names no server.
        self.context.sni_callback = self._choose

    def reread(self) -> None:
        """Take what the files hold now; where that cannot be used, keep what there is."""
        with self._lock:
            digest = self._digest_of_files()
            if digest == self._digest and self._fault is None:
                return
            try:
                context = self._load()
            except CertificateError as error:
                if (str(error), digest) != (self._fault, self._digest):  # said once
                    self._fault, self._digest = str(error), digest
                    fields = {"reason": self._fault}
                    logger.error("certificate not read, the one before holds", extra=fields)
                    self._on_reread(False)
                return
            self._fault, self._digest, self._current = None, digest, context
            logger.info("certificate read", extra={"file": str(self._files.certificate)})
            self._on_reread(True)

    async def follow(self) -> None:
        """Reread whenever one of the files may have changed, until cancelled."""
        files = self._files
        async with asyncio.TaskGroup() as group:
            group.create_task(follow_file(files.certificate, self.reread, files.watch))
            if files.key.parent != files.certificate.parent:
                group.create_task(follow_file(files.key, self.reread, files.watch))

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # from TLS 1.2 on
        context.set_alpn_protocols(["http/1.1"])
        certificate, key = self._files.certificate, self._files.key
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CertificateError(
                f"the certificate {certificate} with the key {key} cannot be used: {reason}"
            ) from error
        return context

    def _digest_of_files(self) -> tuple[bytes | None, bytes | None]:
        return _digest(self._files.certificate), _digest(self._files.key)


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None  # loading it says why


def _no_password() -> str:
    raise ValueError("the key has a password")  # asked for at the terminal, otherwise
