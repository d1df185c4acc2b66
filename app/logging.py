"""Log lines: one per event, as JSON for machines or text for a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

# Attributes of every LogRecord; what a caller adds through ``extra`` is the rest.
_STANDARD = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": 0, "asctime": 0}
)
# Third parties whose info lines repeat what ours say.
_QUIET = ("uvicorn.access", "PIL", "tensorflow", "absl", "h5py", "asyncio", "watchfiles")


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller passed as ``extra``, in its order."""
    return {
        key: value
        for key, value in vars(record).items()
        if key not in _STANDARD and not key.startswith("_") and key != "color_message"
    }


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", …extra}`` on one line, UTC, milliseconds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extra_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """``12:30:05.123 info    message  key=value …`` in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below it if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {key}={value}" for key, value in extra_fields(record).items())
        line = f"{clock}.{int(record.msecs):03d} {record.levelname.lower():<7} "
        line += record.getMessage() + (f" {fields}" if fields else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure_logging(
    level: str, log_format: Literal["text", "json"] | None, stream: TextIO | None = None
) -> None:
    """Send all log lines of the process to one stream.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: None chooses text on a terminal and JSON elsewhere.
        stream: Default: standard error.
    """
    stream = stream or sys.stderr
    if log_format is None:
        log_format = "text" if stream.isatty() else "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # It warns of every malformed upload; the request line tells that with its id.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
