"""Whose versions are loaded, and which requests are remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from app.artifacts.signing_keys import read_trusted_keys
from app.artifacts.trust import TrustPolicy
from app.errors import SigningKeyError
from app.inference.policy import RecorderPolicy
from app.settings.names import ENV_PREFIX, GUARDS, SettingsError


class TrustSettings(BaseSettings):
    """The settings of signatures and of the flight recorder; a part of ``Settings``."""

    trusted_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Public keys, or folders of *.pub, comma-separated: with them, only versions "
        "are loaded that one of the keys has signed (`keraserve-train sign`). Read at the start. "
        "Unset: whoever can write into the store decides what is served.",
    )
    debug_failed_requests: int = Field(
        50,
        ge=0,
        le=10_000,
        description="Last failed requests that /v1/debug/requests shows: so many of the server's "
        "fault (5xx), and as many of their callers'. Refusals (429) are not among them.",
    )
    debug_slowest_requests: int = Field(
        50,
        ge=0,
        le=10_000,
        description="Slowest classifications of the last five to ten minutes that "
        "/v1/debug/requests shows.",
    )

    @field_validator("trusted_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        paths = tuple(part.strip() for part in value.split(",") if part.strip())
        if not paths:
            raise ValueError(GUARDS["trusted_keys"])
        return paths

    def trust_policy(self) -> TrustPolicy:
        """Whose versions are loaded.

        Raises:
            SettingsError: A key cannot be used.
        """
        try:
            return read_trusted_keys(self.trusted_keys)
        except SigningKeyError as error:
            raise SettingsError(f"{error} ({ENV_PREFIX}TRUSTED_KEYS)") from error

    def recorder_policy(self) -> RecorderPolicy:
        """Which requests are remembered one by one."""
        return RecorderPolicy(self.debug_failed_requests, self.debug_slowest_requests)
