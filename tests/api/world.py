"""The whole service with a puppet for a network, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from app.artifacts.manifest import Manifest
from app.batching.batcher import DynamicBatcher
from app.lifecycle import Lifecycle
from app.main import create_app
from app.runtime.policy import EnginePolicy
from app.settings import Settings
from app.types import ScoreArray
from tests.factories.images import encode, noise_image
from tests.factories.versions import edit_manifest, make_version
from tests.fakes import PuppetServable, scores_of

CLASSES = ("cat", "dog", "frog")
Behave = Callable[..., ScoreArray]
"""As ``scores_of``."""
PATIENCE_S = 15.0  # only what hangs takes so long, also beside another test on a busy machine


def picture(seed: int = 0, format_name: str = "PNG") -> bytes:
    """An encoded image of the network's size; another one for each seed."""
    return encode(noise_image(4, 4, seed=seed), format_name)


def add_version(store: Path, name: str = "cifar10", version: int = 1, **changes: Any) -> Path:
    """Publish a version whose self-test accepts the puppet's answers.

    ``changes`` replace fields of its manifest.
    """
    folder = make_version(store, name, version, **changes)
    edit_manifest(folder, self_test={"min_top1_agreement": 0, "max_deviation": 1})
    return folder


@dataclass
class World:
    """The running application.

    Attributes:
        puppet: The network of ``cifar10:1``; of several versions, the one loaded last.
        puppets: The networks by version, ``cifar10:1``; of one that was loaded again, the last.
        client: Talks to the application in this process.
    """

    app: FastAPI
    lifecycle: Lifecycle
    puppet: PuppetServable
    puppets: Mapping[str, PuppetServable]
    client: httpx.AsyncClient

    @property
    def batcher(self) -> DynamicBatcher:
        return self.lifecycle.director.choose(None, None, None, key="").live.batcher

    def count(self, name: str, **labels: str) -> float:
        """Return the value of one series, 0 if it does not exist yet."""
        return self.lifecycle.metrics.registry.get_sample_value(f"keraserve_{name}", labels) or 0.0

    async def classify(self, content: bytes | None = None, **query: Any) -> httpx.Response:
        body = picture() if content is None else content
        headers = {"Content-Type": "image/png"}
        return await self.client.post("/v1/classify", content=body, headers=headers, params=query)

    async def order(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any
    ) -> httpx.Response:
        """Send an order as from this machine."""
        headers = {"Host": "localhost"}
        path = f"/v1/admin{path}"
        # Without parameters None: an empty dictionary would replace those of the path.
        return await self.client.request(
            method, path, json=body, params=query or None, headers=headers
        )

    async def classify_batch(self, files: list[tuple[str, bytes]], **query: Any) -> httpx.Response:
        parts = [("files", file) for file in files]
        return await self.client.post("/v1/classify/batch", files=parts, params=query)

    @property
    def decoded(self) -> float:
        """PNG images decoded so far; each is scheduled in the same turn of the event loop."""
        return self.count("decode_duration_seconds_count", format="PNG")

    async def occupy(self) -> list[asyncio.Task[httpx.Response]]:
        """Hold the puppet with all that the device takes at ``max_batch_size`` 1.

        Returns:
            Two requests: one is being executed, one lies ready right behind; the next one waits
            in the queue.
        """
        before, decoded = len(self.puppet.executed), self.decoded
        self.puppet.hold()
        tasks = [self.begin(picture(1001))]
        await self.puppet.began(before + 1)
        tasks.append(self.begin(picture(1002)))
        await until(lambda: self.decoded == decoded + 2 and self.batcher.queue_size == 0)
        return tasks

    def begin(self, content: bytes | None = None, **query: Any) -> asyncio.Task[httpx.Response]:
        """Send a request without waiting for its answer."""
        return asyncio.create_task(self.classify(content, **query))


def build(store: Path, **settings: Any) -> tuple[FastAPI, dict[str, PuppetServable]]:
    """Build the application over a store; the dictionary is filled with its puppets by version.

    A store without any model gets ``cifar10:1``. Beside settings it takes ``held``: the versions
    that stop in their self-test until their puppet is let go; ``behave``: what each puppet does, in
    place of ``scores_of``; and ``puppet``: its class.
    """
    held: Collection[str] = settings.pop("held", ())
    behave: Behave = settings.pop("behave", scores_of)
    puppet: type[PuppetServable] = settings.pop("puppet", PuppetServable)
    if not any(store.iterdir()):
        add_version(store)
    puppets: dict[str, PuppetServable] = {}

    def load(folder: Path, manifest: Manifest, policy: EnginePolicy) -> PuppetServable:
        version = f"{manifest.name}:{manifest.version}"
        network = partial(behave, classes=len(manifest.classes))
        puppets[version] = puppet(network, is_held=version in held)
        return puppets[version]

    values: Mapping[str, Any] = {"model_dir": store, "_env_file": None} | settings
    return create_app(Settings(**values), load=load), puppets


@asynccontextmanager
async def serving(store: Path, **settings: Any) -> AsyncIterator[World]:
    """Run the application over a store, all versions loaded; takes what ``build`` takes."""
    app, puppets = build(store, **settings)
    lifecycle: Lifecycle = app.state.lifecycle
    async with app.router.lifespan_context(app):
        await lifecycle.loaded()
        puppet = next(reversed(puppets.values()), PuppetServable())
        # raise_app_exceptions: what escapes the application is a failure of its own.
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            try:
                yield World(app, lifecycle, puppet, puppets, client)
            finally:
                for each in puppets.values():
                    each.let_go()


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop go on until something holds that threads bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await checkpoint()


def assert_problem(
    response: httpx.Response, status: int, code: str, *detail: str
) -> Mapping[str, Any]:
    """Assert that a response is a problem document with this status and code.

    Args:
        response: Any answer of the service.
        status: HTTP status.
        code: Of the document.
        *detail: What its detail must name: values, limits, settings.

    Returns:
        The document.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert set(document) == {"type", "title", "status", "code", "detail", "request_id"}
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["status"] == status
    assert document["code"] == code
    assert document["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in document["detail"]
    for part in detail:
        assert part in document["detail"]
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    else:
        assert "retry-after" not in response.headers
    return document
