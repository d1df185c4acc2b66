"""Builds the application from its settings; nothing exists before ``create_app`` is called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from app import __version__, api
from app.lifecycle import Lifecycle
from app.runtime.loader import load_servable
from app.runtime.preparing import LoadServable
from app.settings import Settings

DESCRIPTION = """
Upload an image, get ranked labels from a Keras model.

Every error is a problem document (RFC 9457) with a machine-readable `code`.
"""


def create_app(settings: Settings, *, load: LoadServable = load_servable) -> FastAPI:
    """Build the service.

    Args:
        settings: All of its settings.
        load: Builds a servable from a version folder; tests give one that needs no TensorFlow.
    """
    lifecycle = Lifecycle(settings, CollectorRegistry(), load=load)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.stop()

    app = FastAPI(
        title="Keraserve",
        description=DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # served from local assets by app.api.docs
        redoc_url=None,
        # FastAPI's own looks for a configuration of it with every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.lifecycle = lifecycle
    api.install(app, settings.cors_origins)
    return app
