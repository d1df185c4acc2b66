"""Asks for what no file and no argument should hold."""

from __future__ import annotations

import getpass
import warnings

from app.errors import SigningKeyError


def ask(prompt: str) -> bytes:
    """Return what somebody types unseen, or, where there is no terminal, a line of the input.

    Raises:
        SigningKeyError: There is neither.
    """
    try:
        with warnings.catch_warnings():
            # That a line which is piped in may be seen: nobody types it.
            warnings.simplefilter("ignore", getpass.GetPassWarning)
            return getpass.getpass(prompt).encode()
    except EOFError:
        raise SigningKeyError(
            f"nobody answers '{prompt.rstrip(': ')}': there is no terminal, and no line of input"
        ) from None
