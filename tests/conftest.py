"""Fixtures that every test may use; nothing here imports TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """The command lines set up logging for their process; here it is everybody's."""
    loggers = [logging.getLogger(name) for name in ("app", "training")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
