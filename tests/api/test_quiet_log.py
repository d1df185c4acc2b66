"""What is logged at info has no secret, no file name, no address and nothing of an image."""

from __future__ import annotations

import base64
import io
import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.PngImagePlugin import PngInfo

from app.access.allowance import LimitPolicy
from app.access.caller import Scope
from app.access.keys_file import create_key
from app.access.limits import AccessLimits
from app.logging import configure_logging
from tests.api.doorway import ELSEWHERE, Doorway, doorway
from tests.api.limited_world import get
from tests.api.test_access import OPEN, ROUTES
from tests.api.world import serving
from tests.factories.images import noise_image

pytestmark = pytest.mark.timeout(60)

MARK = "xMARKx"
"""In whatever belongs to callers; it must not be found in any line."""

NAME = f"{MARK}-holiday.png"


def marked_image() -> bytes:
    notes = PngInfo()
    notes.add_text("Comment", MARK)
    file = io.BytesIO()
    noise_image(4, 4, seed=1).save(file, "PNG", pnginfo=notes)
    return file.getvalue()


GOOD = marked_image()
IMAGES = {
    "good": GOOD,
    "cut off": GOOD[:-20],
    "broken inside": GOOD.replace(b"IDAT", b"xMAR").replace(b"tEXt", b"MARK"),
    "no image": MARK.encode() * 50,
    "empty": b"",
}


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest, restored_root_logger: None) -> Iterator[io.StringIO]:
    """All that the service writes at info, as it writes it."""
    stream = io.StringIO()
    configure_logging("info", request.param, stream)
    clients = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in clients]
    for logger in clients:  # the client of this test is not the service
        logger.setLevel(logging.CRITICAL)
    yield stream
    for logger, level in zip(clients, levels, strict=True):
        logger.setLevel(level)


@asynccontextmanager
async def marked_service(folder: Path) -> AsyncIterator[tuple[Doorway, dict[str, str]]]:
    path, store = folder / "keys.json", folder / "store"
    store.mkdir()
    keys = {scope.value: create_key(path, scope.value, [scope]) for scope in Scope}
    async with (
        serving(store, api_keys_file=path, max_batch_size=1) as world,
        doorway(world, hold_s=0.02) as door,
    ):
        yield door, keys


def bodies(path: str) -> Iterator[dict[str, Any]]:
    part = "files" if path.endswith("batch") else "file"
    for content in IMAGES.values():
        yield {"content": content, "headers": {"Content-Type": "image/png"}}
        yield {"files": [(part, (NAME, content, f"image/{MARK}"))]}
        yield {"files": [(MARK, (NAME, content))], "data": {MARK: MARK}}
    yield {"content": f'{{"{MARK}": "{MARK}", "version": "{MARK}"}}'.encode()}


def authorizations(keys: dict[str, str]) -> Iterator[str | None]:
    yield from (f"Bearer {key}" for key in keys.values())
    yield f"Bearer ks_{MARK}"
    yield "Basic " + base64.b64encode(f"{MARK}:{MARK}".encode()).decode()
    yield f"{keys['infer']} {MARK}"
    yield None


async def fail_everything(door: Doorway, keys: dict[str, str]) -> None:
    """Have the network fail on marked images, on all ways."""

    def fail(images: Any) -> Any:
        raise ValueError("the network fails")

    puppet = door.world.puppet
    behave, puppet.behave = puppet.behave, fail
    headers = {"Authorization": f"Bearer {keys['infer']}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:
        for path, part in (("/v1/classify", "file"), ("/v1/classify/batch", "files")):
            await client.post(path, files=[(part, (NAME, GOOD))], headers=headers)
    puppet.behave = behave


async def ask_everything(door: Doorway, keys: dict[str, str]) -> dict[int, int]:
    """Drive all routes with all bodies and keys; return how often each status came."""
    statuses: dict[int, int] = {}
    origin = ELSEWHERE.split(": ")[1]
    always = {
        "Cookie": f"session={MARK}",
        "X-Sticky-Key": MARK,
        "User-Agent": MARK,
        "Referer": f"https://a.org/{MARK}",
        "X-Forwarded-For": "203.0.113.77",
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:

        async def ask(method: str, path: str, key: str | None, **body: Any) -> None:
            headers = always | body.pop("headers", {})
            if key is not None:
                headers["Authorization"] = key
            answer = await client.request(method, path, headers=headers, **body)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

        admin = f"Bearer {keys['admin']}"
        for path in ("/v1/classify", "/v1/classify/batch"):
            for body, way in itertools.product(bodies(path), ({}, {"Origin": origin})):
                headers = body.get("headers", {}) | way
                await ask("POST", path, admin, **(body | {"headers": headers}))
        for method, path, _ in ROUTES:
            for key in authorizations(keys):
                await ask(method, path, key)
            for query in (f"?model={MARK}", f"?{MARK}=1", f"?version={MARK}", f"?label={MARK}"):
                await ask(method, path + query, admin)
        for path in (*OPEN, f"/{MARK}", f"/v1/models/{MARK}", f"/playground/{MARK}"):
            await ask("GET", path, admin)
            await ask("PATCH", path, admin)
    return statuses


async def test_nothing_of_callers_is_logged(tmp_path: Path, log: io.StringIO) -> None:
    async with marked_service(tmp_path) as (door, keys):
        await fail_everything(door, keys)
        statuses = await ask_everything(door, keys)
        door.world.lifecycle.limits = AccessLimits(LimitPolicy(0.01, 1), LimitPolicy())
        line = await door.connect()
        key = f"Authorization: Bearer {keys['infer']}"
        for status in (200, 429, 429):
            line.send(get("/v1/models", key))
            assert (await line.answer()).status == status
        line.send(f"{MARK} {MARK}\r\nAuthorization: {MARK}\r\n\r\n".encode())
        assert (await line.answer()).status == 400

    written = log.getvalue()
    # What could be told was told: every way to end, with who asked.
    assert statuses.keys() >= {200, 400, 401, 403, 404, 405, 415, 422}
    assert written.count("/v1/classify") > 50
    assert "the network fails" in written
    for secret in (MARK, "ks_", *keys.values(), "203.0.113.77", "127.0.0.1", "IDAT", "tEXt"):
        assert secret not in written
    for key in keys.values():
        assert base64.b64encode(key.encode()).decode() not in written


def test_the_marks_would_be_found(log: io.StringIO) -> None:
    logger = logging.getLogger("app.request")
    logger.info("request", extra={"file": NAME})
    try:
        raise ValueError(f"{MARK} inside")
    except ValueError:
        logger.exception("request failed")
    assert log.getvalue().count(MARK) >= 2
