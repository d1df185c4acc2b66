"""Where the service listens, and how much each caller may ask there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from app.access.addresses import parse_networks
from app.access.allowance import LimitPolicy
from app.access.limits import AccessLimits
from app.access.proxies import TrustedProxies
from app.certificate import Certificate, CertificateFiles
from app.errors import CertificateError
from app.settings.names import ENV_PREFIX, SettingsError
from app.watching import WatchPolicy


class DoorSettings(BaseSettings):
    """The settings of ports, TLS, proxies and limits; a part of ``Settings``."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Second port, which answers everything; /metrics, /v1/admin and /v1/debug are "
        "then not there at the first one. 0 takes a free one.",
    )
    admin_host: str | None = Field(
        None, description="Address of the second port. Unset: that of the first."
    )
    tls_certificate_file: Path | None = Field(
        None,
        description="Certificate, PEM, with those between it and the root: the service then "
        "speaks HTTPS, at both ports. Read again when it changes.",
    )
    tls_key_file: Path | None = Field(
        None, description="Private key of the certificate, PEM, without a password."
    )
    hsts_max_age_s: int = Field(
        31_536_000,
        ge=0,
        description="With a certificate: for how long browsers that were here once use HTTPS only, "
        "s (Strict-Transport-Security); 0: they are not told to.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses and networks of proxies that are believed whom a request comes "
        "from, comma-separated: 10.0.0.0/8. For limits by address alone: who is let in does not "
        "hang on it.",
    )
    proxy_header: Literal["x-forwarded-for", "forwarded"] = Field(
        "x-forwarded-for",
        description="The header that they write. The other one, which they may pass on, is the "
        "client's and counts for nothing.",
    )
    address_rate_per_s: float = Field(
        0,
        ge=0,
        description="Requests per second that each address may ask in the long run, an IPv6 /64 "
        "being one; 0: no limit. Health and documentation are not counted, a batch is one request.",
    )
    address_burst: int = Field(
        0,
        ge=0,
        description="Requests that an address may ask at once after a while without; 0: as many "
        "as a second brings, at least one.",
    )
    address_max_concurrency: int = Field(
        0, ge=0, description="Requests of an address under way at one time; 0: no limit."
    )
    key_rate_per_s: float = Field(
        0,
        ge=0,
        description="Requests per second with each API key in the long run; 0: no limit.",
    )
    key_burst: int = Field(
        0,
        ge=0,
        description="Requests at once with a key after a while without; 0: as many as a second "
        "brings, at least one.",
    )
    key_max_concurrency: int = Field(
        0, ge=0, description="Requests with a key under way at one time; 0: no limit."
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("proxy_header", mode="before")
    @classmethod
    def _lower_header(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_doors(self) -> Self:
        self.proxies()
        if self.admin_port is None and self.admin_host is not None:
            raise ValueError(f"{ENV_PREFIX}ADMIN_HOST is set, {ENV_PREFIX}ADMIN_PORT is not")
        if self.admin_port and self.admin_port == self.port:
            raise ValueError(
                f"{ENV_PREFIX}ADMIN_PORT is {self.admin_port}, as {ENV_PREFIX}PORT is; requests "
                "are told apart by it"
            )
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(
                f"{ENV_PREFIX}TLS_CERTIFICATE_FILE and {ENV_PREFIX}TLS_KEY_FILE go together: one "
                "of them is not set"
            )
        for kind in ("address", "key"):
            self._limit_policy(kind)
        return self

    def access_limits(self) -> AccessLimits | None:
        """How much each caller may ask; None where nothing is limited."""
        addresses, keys = self._limit_policy("address"), self._limit_policy("key")
        if addresses.limits_anything or keys.limits_anything:
            return AccessLimits(addresses, keys)
        return None

    def limits_keys(self) -> bool:
        """Tell whether there is a limit by key."""
        return self._limit_policy("key").limits_anything

    def proxies(self) -> TrustedProxies:
        """Return the proxies that are trusted.

        Raises:
            ValueError: One is neither an address nor a network.
        """
        try:
            networks = parse_networks(self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"{ENV_PREFIX}TRUSTED_PROXIES: {error}") from None
        return TrustedProxies(networks, self.proxy_header)

    def certificate(
        self, watch: WatchPolicy, on_reread: Callable[[bool], object]
    ) -> Certificate | None:
        """Return the certificate of TLS; None where there is none.

        Raises:
            SettingsError: It cannot be used.
        """
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        files = CertificateFiles(self.tls_certificate_file, self.tls_key_file, watch)
        try:
            return Certificate(files, on_reread)
        except CertificateError as error:
            names = f"{ENV_PREFIX}TLS_CERTIFICATE_FILE, {ENV_PREFIX}TLS_KEY_FILE"
            raise SettingsError(f"{error} ({names})") from error

    def _limit_policy(self, kind: str) -> LimitPolicy:
        rate_per_s, burst = getattr(self, f"{kind}_rate_per_s"), getattr(self, f"{kind}_burst")
        if burst and not rate_per_s:
            setting = f"{ENV_PREFIX}{kind.upper()}"
            raise ValueError(f"{setting}_BURST is {burst}, {setting}_RATE_PER_S is not set")
        return LimitPolicy(rate_per_s, burst, getattr(self, f"{kind}_max_concurrency"))
