"""How a version is brought in and out; ``lifecycle`` implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from app.artifacts.manifest import Manifest
from app.registry.store import StoredVersion
from app.types import ServableState

L = TypeVar("L")
"""What a loader makes of a version, e.g. a servable with its batcher."""


class Loader(Protocol[L]):
    """Builds, proves and ends what takes the traffic of a version.

    All methods run on the manager's event loop and must not block it.
    """

    async def load(
        self, stored: StoredVersion, manifest: Manifest, on_state: Callable[[ServableState], None]
    ) -> L:
        """Load, warm up and self-test a version whose checksums are right.

        Args:
            stored: Where the version is.
            manifest: Its description.
            on_state: To be called on the event loop with WARMING and TESTING when these begin.
                Steps back (a second precision is warmed up after the first failed its test) and
                calls after the load has ended are ignored.

        Raises:
            ServingError: The version must not be served; its text becomes the reason that is
                shown. Any other exception does the same, with a general text and a traceback in
                the log. Whatever was built until then has been given back, also on cancellation.
        """
        ...

    async def unload(self, live: L) -> None:
        """Finish what ``live`` has accepted, then close it; the version is not served any more."""
        ...

    async def renew(self, stored: StoredVersion, manifest: Manifest, live: L) -> L:
        """Load a version once more, to take over from ``live``, whose engine failed.

        As ``load``, without its states: the version stays AVAILABLE.
        """
        ...

    async def retire(self, live: L) -> None:
        """Finish what ``live`` still can, then close it; another one has taken over from it.

        Cancelled, it cuts off at once what is left. Called once for each ``renew``.
        """
        ...
