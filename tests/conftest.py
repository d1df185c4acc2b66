"""Fixtures that every test may use; nothing here imports TensorFlow."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
