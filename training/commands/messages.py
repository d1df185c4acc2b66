"""What every command says in the same way: its log lines and its last line."""

from __future__ import annotations

import logging
import sys

from training.commands import PROGRAM


class _ExtraFormatter(logging.Formatter):
    """Appends the fields of ``extra`` to the text, as ``name=value``."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{key}={value}" for key, value in vars(record).items() if key not in self._OWN]
        return "  ".join([super().format(record), *fields])


def set_up_logging() -> None:
    """Send our own log lines to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_ExtraFormatter("%(message)s"))
    for name in ("training", "app"):  # not the root: libraries keep their own counsel
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)


def fail(message: str, code: int) -> int:
    """Say why nothing came of it, as the last line wherever the two streams meet."""
    sys.stdout.flush()
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code
