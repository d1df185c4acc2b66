import io
import json
import logging

import pytest

from app.logging import configure_logging

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
