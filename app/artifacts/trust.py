"""Whose versions are served: the trusted keys, held against the signatures of a version."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from app.artifacts.layout import MANIFEST
from app.artifacts.manifest import Manifest, manifest_bytes, parse_manifest
from app.artifacts.signatures import Signature, key_id, read_signatures
from app.errors import ArtifactError

logger = logging.getLogger(__name__)

_SETTING = "KERASERVE_TRUSTED_KEYS"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key with a name that people know.

    Attributes:
        name: Of its file, without ending.
        public_key: 32 bytes.
    """

    name: str
    public_key: bytes

    def __str__(self) -> str:
        """Return the name with the key's id, as messages have them."""
        return f"{self.name} ({key_id(self.public_key)})"


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a version must carry to be loaded; without any key, nothing.

    Attributes:
        keys: One of them must have signed the manifest.
    """

    keys: tuple[TrustedKey, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether versions must be signed."""
        return bool(self.keys)

    def read(self, folder: Path) -> Manifest:
        """Read the manifest of a version, once it is known to be signed as it must be.

        What is verified is what is parsed: the file is read once.

        Raises:
            ArtifactError: It is missing, invalid, or not signed as it must be; says how it stands.
        """
        content = manifest_bytes(folder)
        if self.asks:
            self._require_signature(folder, content)
        return parse_manifest(content)

    def signers(self, folder: Path) -> tuple[str, ...]:
        """Return who vouches for a version, for people: of trusted keys the names, else the ids.

        A signature that is wrong is told, and no error: whether that matters is for ``read``.
        """
        try:
            found = read_signatures(folder)
            content = manifest_bytes(folder) if found else b""
        except ArtifactError as error:
            return (str(error),)
        return tuple(self._signer(signature, content) for signature in found)

    def _signer(self, signature: Signature, content: bytes) -> str:
        key = self._find(signature.public_key)
        name = signature.key_id if key is None else str(key)
        if not signature.is_of(content):
            return f"{name} before it was altered"
        return f"{name}, not trusted" if self.asks and key is None else name

    def _require_signature(self, folder: Path, content: bytes) -> None:
        trusted = ", ".join(map(str, self.keys))
        found = read_signatures(folder)
        if not found:
            raise ArtifactError(
                f"it is not signed; versions must be signed by one of the trusted keys, {trusted} "
                f"({_SETTING})"
            )
        known = [(key, s) for s in found if (key := self._find(s.public_key)) is not None]
        if not known:
            strangers = ", ".join(signature.key_id for signature in found)
            raise ArtifactError(
                f"it is signed by {strangers}; the trusted keys are {trusted} ({_SETTING})"
            )
        good = [str(key) for key, signature in known if signature.is_of(content)]
        if not good:
            names = ", ".join(str(key) for key, _ in known)
            raise ArtifactError(
                f"{MANIFEST} is not what {names} signed: it was altered afterwards ({_SETTING})"
            )
        fields = {"folder": str(folder), "signed_by": ", ".join(good)}
        logger.info("signature verified", extra=fields)

    def _find(self, public_key: str) -> TrustedKey | None:
        return next((key for key in self.keys if key.public_key.hex() == public_key), None)


ANYBODY = TrustPolicy()
"""Whoever can write into the store decides what is served."""
