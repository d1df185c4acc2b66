"""Which requests belong to a share."""

from __future__ import annotations

from hashlib import blake2b

_RANGE = 1 << 64


def position_of(key: str, salt: str) -> float:
    """Return a number in 0..1 that is always the same for a key, and evenly spread over keys.

    Args:
        key: What tells one caller, or one request, from the others.
        salt: Another one spreads the keys in another way: it is not always the same callers that
            meet what is new.
    """
    digest = blake2b(f"{salt}\n{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / _RANGE


class Share:
    """Takes a share of what comes, evenly: of 0.25 every fourth one. Owned by one event loop."""

    def __init__(self, share: float) -> None:
        """``share``: 0..1."""
        self._share = share
        self._credit = 0.0

    def takes_next(self) -> bool:
        """Tell whether the next one belongs to it."""
        self._credit += self._share
        if self._credit < 1:
            return False
        self._credit -= 1
        return True
