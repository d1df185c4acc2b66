import asyncio
import io
import json
import logging
import re
import threading
from pathlib import Path
from typing import Literal

import pytest

from app.logging import configure_logging, extra_fields, log_event

pytestmark = pytest.mark.usefixtures("restored_root_logger")

# The loggers here are not below "app": training's command line, run by other tests, sets that up.


def test_json_line_carries_the_fields_and_the_traceback() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("served").exception("failed", extra={"model": "cifar10", "batch_size": 3})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"]) == ("error", "served", "failed")
    assert (line["model"], line["batch_size"]) == ("cifar10", 3)
    assert line["time"].endswith("Z")
    assert "ValueError: boom" in line["traceback"]


def test_text_line_is_for_reading() -> None:
    stream = io.StringIO()
    configure_logging("info", "text", stream)
    logging.getLogger("served").info("ready", extra={"serving": "cifar10:1"})
    assert stream.getvalue().endswith(" info    ready  serving=cifar10:1\n")


def test_format_is_json_where_no_terminal_is() -> None:
    stream = io.StringIO()
    configure_logging("info", None, stream)
    logging.getLogger("served").info("one")
    assert json.loads(stream.getvalue())["message"] == "one"


def test_level_hides_what_is_below_it() -> None:
    stream = io.StringIO()
    configure_logging("warning", "text", stream)
    logging.getLogger("served").info("hidden")
    logging.getLogger("served").warning("shown")
    assert "hidden" not in stream.getvalue()
    assert "shown" in stream.getvalue()


class Stream(io.StringIO):
    """Counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


@pytest.mark.anyio
async def test_lines_of_one_turn_are_written_together_at_its_end() -> None:
    stream = Stream()
    configure_logging("info", "text", stream)
    logger = logging.getLogger("served")
    for number in range(3):
        log_event(logger, logging.INFO, "request", {"number": number})
    assert stream.getvalue() == ""
    await asyncio.sleep(0)
    assert [line[-8:] for line in stream.getvalue().splitlines()] == [
        "number=0", "number=1", "number=2",
    ]  # fmt: skip
    assert stream.writes == 1
    logger.info("next turn")
    await asyncio.sleep(0)
    assert stream.writes == 2


@pytest.mark.anyio
async def test_warning_is_written_at_once_after_what_came_before() -> None:
    stream = Stream()
    configure_logging("info", "text", stream)
    logger = logging.getLogger("served")
    logger.info("first")
    logger.warning("second")
    text = stream.getvalue()
    assert text.index("first") < text.index("second")
    await asyncio.sleep(0)
    assert stream.getvalue() == text


@pytest.mark.anyio
async def test_line_of_another_thread_is_written_at_once() -> None:
    stream = Stream()
    configure_logging("info", "text", stream)
    logger = logging.getLogger("served")
    logger.info("loop")
    thread = threading.Thread(target=logger.info, args=("device",))
    thread.start()
    thread.join()
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["loop", "device"]


@pytest.mark.anyio
async def test_what_waits_is_written_at_exit() -> None:
    stream = Stream()
    configure_logging("info", "text", stream)
    logging.getLogger("served").info("last words")
    logging.getLogger().handlers[0].flush()  # as logging.shutdown() does
    assert "last words" in stream.getvalue()


@pytest.mark.anyio
async def test_stream_that_fails_ends_no_event_loop(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(Stream):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    configure_logging("info", "text", Full())
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    logging.getLogger("served").info("lost")
    await asyncio.sleep(0)
    assert not failed
    assert "No space left" in capsys.readouterr().err  # said by the logging module itself


def test_event_is_not_written_again_where_the_stream_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Failing(Stream):
        has_failed = False

        def flush(self) -> None:
            if not self.has_failed:
                self.has_failed = True
                raise OSError(28, "No space left on device")

    stream = Failing()
    configure_logging("info", "json", stream)
    logger = logging.getLogger("served")
    for number in range(2):
        log_event(logger, logging.WARNING, "request", {"number": number})
    assert [json.loads(line)["number"] for line in stream.lines()] == [0, 1]
    assert capsys.readouterr().err.count("Logging error") == 1


def test_event_is_what_the_logger_would_have_made(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("served")
    caplog.set_level(logging.INFO, "served")
    log_event(logger, logging.INFO, "request", {"status": 200})
    record = caplog.records[-1]
    assert (record.name, record.levelname, record.getMessage()) == ("served", "INFO", "request")
    assert extra_fields(record) == {"status": 200}


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("level", [logging.INFO, logging.ERROR])
def test_event_is_written_as_the_logger_would_have_written_it(
    log_format: Literal["json", "text"], level: int
) -> None:
    stream = Stream()
    configure_logging("info", log_format, stream)
    logger = logging.getLogger("served.request")
    fields = {"status": 200, "model": "Würfel", "share": 0.25, "path": Path("a/b")}
    log_event(logger, level, "request", fields)
    logger.log(level, "request", extra=fields)
    first, second = (re.sub(r"\d\d:\d\d:\d\d\.\d+", "", line) for line in stream.lines())
    assert first == second
    assert "Würfel" in first


@pytest.mark.parametrize(
    "value",
    [
        'quotes " and \\ and / and \n\x00\x1f\x7f', "\u2028 🐈", "", float("nan"), float("-inf"),
        0.1, 12.0, 1e22, 10**30, True, None, {"a": [1, 2.5]}, (1, "b"), b"\xff", object, "\udcff",
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_its_values_an_event_is_written_as_by_the_logger(
    value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for way in ("event", "logger"):
        stream = io.TextIOWrapper(io.BytesIO(), "utf-8")  # which cannot take a lone surrogate
        configure_logging("info", "json", stream)
        logger = logging.getLogger("served.request")
        if way == "event":
            log_event(logger, logging.INFO, "request", {"value": value})
        else:
            logger.info("request", extra={"value": value})
        stream.seek(0)
        lines.append(re.sub(r"\d\d:\d\d:\d\d\.\d+", "", stream.read()))
    assert lines[0] == lines[1]
    assert bool(lines[0]) is (value != "\udcff")
    assert capsys.readouterr().err.count("Logging error") == 2 * (not lines[0])


def test_filters_and_other_handlers_see_events_too() -> None:
    stream = Stream()
    configure_logging("info", "json", stream)
    parent, logger = logging.getLogger("served"), logging.getLogger("served.request")
    seen: list[logging.LogRecord] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    other = Other()
    parent.addHandler(other)
    try:
        log_event(logger, logging.INFO, "request", {"status": 200})
        assert extra_fields(seen[0]) == {"status": 200}
        logger.addFilter(lambda record: False)
        log_event(logger, logging.INFO, "request", {"status": 500})
    finally:
        parent.removeHandler(other)
        logger.filters.clear()
    assert len(seen) == len(stream.lines()) == 1
