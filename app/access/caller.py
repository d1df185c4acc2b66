"""Scopes, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do."""

    INFER = "infer"
    """Classify, and see which models there are."""

    METRICS = "metrics"
    """Read the metrics."""

    ADMIN = "admin"
    """Change what is served; includes the others."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: Of the key, or ``anonymous`` or ``local`` for those who need none.
        scopes: As the key has them.
    """

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Tell whether this is allowed to them."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANONYMOUS = Caller("anonymous", frozenset({Scope.INFER, Scope.METRICS}))
"""Anybody, where no keys are asked for."""

LOCAL = Caller("local", frozenset({Scope.ADMIN}))
"""Somebody on this machine, where no keys are asked for."""

RESERVED_NAMES = frozenset({ANONYMOUS.name, LOCAL.name})
"""No key may be called so: logs would not tell who it was."""
