"""Log lines: one per event, as JSON for machines or text for a terminal."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
import time
from typing import Any, Literal, TextIO

from pydantic_core import to_json

# Attributes of every LogRecord; what a caller adds through ``extra`` is the rest.
_STANDARD = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)) | {"message": 0, "asctime": 0}
)
# Third parties whose info lines repeat what ours say.
_QUIET = ("uvicorn.access", "PIL", "jax", "tensorflow", "absl", "h5py", "asyncio", "watchfiles")


# json.dumps() with arguments builds a new encoder for every line.
_encode = json.JSONEncoder(ensure_ascii=False, default=str, separators=(",", ":")).encode


def _encode_plain(line: dict[str, Any]) -> str:
    """Write what is strings and numbers, in a third of the time; NaN and infinity as above.

    Raises:
        ValueError: It has something that it cannot write.
    """
    return to_json(line, inf_nan_mode="constants").decode()


def log_event(logger: logging.Logger, level: int, message: str, fields: dict[str, Any]) -> None:
    """Log what happens thousands of times a second; ``level`` must be enabled.

    As ``logger.log(level, message, extra=fields)``, without looking up the stack who called, and
    without a record where the line is JSON and nobody else listens.

    Args:
        logger: Whose line it is.
        level: One of the standard ones.
        message: Constant text.
        fields: Strings, numbers and None; what else there is may be written in another way than
            by ``logger.log``.
    """
    handler = _only_handler(logger)
    if handler is not None and handler.write_json(logger.name, level, message, fields):
        return
    record = logging.LogRecord(logger.name, level, "", 0, message, (), None)
    record.__dict__.update(fields)
    logger.handle(record)


def _only_handler(logger: logging.Logger) -> TurnHandler | None:
    """Return the handler of all lines, if no filter and no other handler is to see this one."""
    above: logging.Logger | None = logger
    while above is not None:
        if above.filters:
            return None
        handlers, parent = above.handlers, above.parent
        if parent is None:
            only = handlers[0] if len(handlers) == 1 else None
            return only if isinstance(only, TurnHandler) else None
        if handlers or not above.propagate:
            return None
        above = parent
    return None


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
        line = {
            "time": _utc(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extra_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line)


@functools.cache
def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


@functools.lru_cache(2)  # a busy server writes several lines in a millisecond
def _utc(milliseconds: int) -> str:
    second, fraction = divmod(milliseconds, 1000)
    return f"{_utc_second(second)}.{fraction:03d}Z"


@functools.lru_cache(2)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


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


# A full disk or a broken pipe; a closed stream or letters that it cannot take; arguments that do
# not suit their message. Whatever else is raised is a fault of the program's, and seen as one.
_UNWRITABLE = (OSError, ValueError, TypeError)

# What the logging module tells of, on standard error, where lines cannot be written.
_LOST = logging.LogRecord(__name__, logging.INFO, "", 0, "lines of one turn", (), None)


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop together, at the turn's end.

    Answers come in batches, and a system call for each of their lines costs as much as making
    it. Warnings and worse, and lines of other threads, are written at once, after those before
    them. What waits is also written when the process exits.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``."""
        super().__init__(stream)
        # Both are changed with the handler's lock held.
        self._waiting: list[str] = []
        self._due_on: asyncio.AbstractEventLoop | None = None  # the one that will write them

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        try:
            self._take(self.format(record), record.levelno)
        except _UNWRITABLE:
            self.handleError(record)

    def write_json(self, name: str, level: int, message: str, fields: dict[str, Any]) -> bool:
        """Take the line of a record that was not made.

        Returns:
            Whether it did; not if lines are no JSON, or if this one cannot be. A line that was lost
            because the stream failed has been told of: taken again, it could be written twice.
        """
        if type(self.formatter) is not JsonFormatter or level < self.level or self.filters:
            return False
        lock = self.lock
        assert lock is not None, "every handler has one"
        head = {
            "time": _utc(time.time_ns() // 1_000_000),
            "level": _level_name(level),
            "logger": name,
            "message": message,
        }
        try:
            line = _encode_plain(head | fields)
        except (TypeError, ValueError):
            return False
        with lock:
            try:
                self._take(line, level)
            except _UNWRITABLE:
                self.handleError(_LOST)
        return True

    def _take(self, line: str, level: int) -> None:
        self._waiting.append(line)
        loop = _running_loop()
        if loop is None or level >= logging.WARNING:
            self.flush()
        elif loop is not self._due_on:
            self._due_on = loop
            loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        try:
            self.flush()
        except _UNWRITABLE:  # as where a line is written at once: a full disk ends no event loop
            self.handleError(_LOST)

    def flush(self) -> None:
        """Write what waits."""
        assert self.lock is not None, "every handler has one"
        with self.lock:
            lines, self._waiting, self._due_on = self._waiting, [], None
            if lines:
                self.stream.write("".join([f"{line}\n" for line in lines]))
            super().flush()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # in a thread without one
        return None


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
    # Nothing shows them, and finding them out takes half of the time of making a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = TurnHandler(stream)
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
