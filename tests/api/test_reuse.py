"""Nothing is computed twice where that is asked for: over HTTP, with what is told and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.types import ImageArray, ScoreArray
from tests.api.call import Call
from tests.api.test_canary import KEYS, ask, canary_of, serving_canary
from tests.api.world import (
    CLASSES,
    World,
    add_version,
    assert_problem,
    picture,
    serving,
    until,
)
from tests.factories.images import noise
from tests.fakes import scores_of

pytestmark = pytest.mark.timeout(60)

CACHE_BYTES = 1_000_000
ONE = {"model": "cifar10", "version": "1"}


@asynccontextmanager
async def coalescing(store: Path) -> AsyncIterator[World]:
    async with serving(store, coalesce=True) as world:
        yield world


@asynccontextmanager
async def caching(store: Path) -> AsyncIterator[World]:
    async with serving(store, cache_bytes=CACHE_BYTES) as world:
        yield world


def scores(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    return [found["score"] for found in response.json()["predictions"]]


def scores_of_picture(seed: int) -> list[float]:
    row = scores_of(noise(4, 4, seed=seed)[np.newaxis], len(CLASSES))[0]
    return sorted(map(float, row), reverse=True)


async def joined(world: World, images: int) -> None:
    """Wait until so many requests wait for an image that another one brought."""
    await until(lambda: world.count("cache_images_total", **ONE, result="coalesced") == images)


async def test_without_the_settings_nothing_is_reused_and_nothing_is_said(world: World) -> None:
    before = len(world.puppet.executed)
    answers = [await world.classify(), await world.classify()]
    answers.append(await world.classify_batch([("a", picture()), ("b", picture())]))
    assert all("x-cache" not in answer.headers for answer in answers)
    assert sum(map(len, world.puppet.executed[before:])) == 4
    assert "keraserve_cache_images_total{" not in (await world.client.get("/metrics")).text


async def test_requests_with_one_image_are_executed_once_and_each_answered(tmp_path: Path) -> None:
    async with coalescing(tmp_path) as world:
        before = len(world.puppet.executed)
        world.puppet.hold()
        first = world.begin(picture())
        await world.puppet.began(before + 1)
        others = [world.begin(picture(), top_k=k) for k in (1, 2)]
        await joined(world, 2)
        world.puppet.let_go()
        answers = await asyncio.gather(first, *others)
        assert [answer.headers["x-cache"] for answer in answers] == [
            "miss", "coalesced", "coalesced",
        ]  # fmt: skip
        for answer, top_k in zip(answers, (3, 1, 2), strict=True):
            assert scores(answer) == scores_of_picture(0)[:top_k]
            assert answer.json()["timing"]["batch_size"] == 1
            assert answer.json()["timing"]["execute_ms"] <= answer.json()["timing"]["total_ms"]
        assert [len(images) for images in world.puppet.executed[before:]] == [1]
        # Each answer is an answer; the execution was one.
        assert world.count("images_total", **ONE, outcome="ok") == 3
        assert world.count("prediction_confidence_count", **ONE) == 3
        assert world.count("executions_total", **ONE) == 1
        assert world.count("drift_window_images", **ONE) == 3


async def test_client_that_leaves_does_not_take_the_others_along(tmp_path: Path) -> None:
    async with coalescing(tmp_path) as world:
        before = len(world.puppet.executed)
        world.puppet.hold()
        leaver = Call(world.app, "/v1/classify", headers={"content-type": "image/png"})
        leaver.feed(picture())
        await world.puppet.began(before + 1)
        other = world.begin(picture())
        await joined(world, 1)
        leaver.leave()
        await until(lambda: world.count("images_total", **ONE, outcome="cancelled") == 1)
        world.puppet.let_go()
        assert scores(await other) == scores_of_picture(0)
        assert len(world.puppet.executed) == before + 1


async def test_deadline_of_the_first_is_not_that_of_the_others(tmp_path: Path) -> None:
    async with serving(tmp_path, coalesce=True, max_batch_size=1) as world:
        occupying = await world.occupy()
        first = world.begin(picture(), timeout_ms=300)
        await until(lambda: world.batcher.queue_size == 1)
        other = world.begin(picture())
        await joined(world, 1)
        assert_problem(await first, 504, "deadline_exceeded")
        assert world.batcher.queue_size == 1
        world.puppet.let_go()
        assert scores(await other) == scores_of_picture(0)
        await asyncio.gather(*occupying)


async def test_image_that_the_network_fails_on_fails_for_all_who_sent_it(tmp_path: Path) -> None:
    def fail(images: ImageArray) -> ScoreArray:
        raise ValueError("secret inner workings")

    async with serving(tmp_path, coalesce=True, cache_bytes=CACHE_BYTES) as world:
        before = len(world.puppet.executed)
        world.puppet.hold()
        world.puppet.behave = fail
        first = world.begin(picture())
        await world.puppet.began(before + 1)
        second = world.begin(picture())
        await joined(world, 1)
        world.puppet.let_go()
        for response in await asyncio.gather(first, second):
            assert_problem(response, 500, "execution_failed")
            assert "x-cache" not in response.headers
        world.puppet.behave = lambda images: scores_of(images, len(CLASSES))
        answer = await world.classify()
        assert (scores(answer), answer.headers["x-cache"]) == (scores_of_picture(0), "miss")


async def test_pixels_that_were_seen_are_answered_from_the_cache(tmp_path: Path) -> None:
    async with caching(tmp_path) as world:
        before = len(world.puppet.executed)
        first = await world.classify(picture(0, "PNG"))
        again = await world.classify(picture(0, "BMP"), top_k=2)
        assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
        assert scores(again) == scores(first)[:2] == scores_of_picture(0)[:2]
        assert again.json()["image"]["format"] == "BMP"
        timing = again.json()["timing"]
        assert (timing["queue_ms"], timing["execute_ms"], timing["batch_size"]) == (0, 0, 0)
        assert timing["total_ms"] > 0
        assert len(world.puppet.executed) == before + 1
        other = await world.classify(picture(1))
        assert (scores(other), other.headers["x-cache"]) == (scores_of_picture(1), "miss")
        assert world.count("images_total", **ONE, outcome="ok") == 3
        assert world.count("drift_window_images", **ONE) == 3
        counted = {r: world.count("cache_images_total", **ONE, result=r) for r in ("hit", "miss")}
        assert counted == {"hit": 1, "miss": 2}
        assert world.count("cache_entries") == 2
        assert 0 < world.count("cache_bytes") <= CACHE_BYTES


async def test_full_cache_lets_the_oldest_go(tmp_path: Path) -> None:
    async with serving(tmp_path, cache_bytes=1500) as world:
        for seed in (0, 1, 2, 0):
            response = await world.classify(picture(seed))
            assert (scores(response), response.headers["x-cache"]) == (
                scores_of_picture(seed),
                "miss",
            )
        assert world.count("cache_entries") == 2
        assert world.count("cache_evictions_total") == 2
        assert world.count("cache_bytes") <= 1500


async def test_several_images_say_the_least_of_what_was_reused(tmp_path: Path) -> None:
    async with serving(tmp_path, coalesce=True, cache_bytes=CACHE_BYTES) as world:
        before = len(world.puppet.executed)

        async def send(*seeds: int) -> tuple[str | None, list[int]]:
            files = [(f"{n}", picture(seed)) for n, seed in enumerate(seeds)]
            response = await world.classify_batch([*files, ("bad", b"words")])
            answer = response.json()
            assert (answer["succeeded"], answer["failed"]) == (len(seeds), 1)
            for seed, entry in zip(seeds, answer["results"], strict=False):
                found = [found["score"] for found in entry["predictions"]]
                assert found == scores_of_picture(seed)
            sizes = [entry["timing"]["batch_size"] for entry in answer["results"][:-1]]
            return response.headers.get("x-cache"), sizes

        assert await send(0, 0, 1) == ("miss", [2, 2, 2])
        assert await send(0, 1, 0) == ("hit", [0, 0, 0])
        assert await send(0, 2) == ("miss", [0, 1])
        assert await send() == (None, [])
        assert [len(images) for images in world.puppet.executed[before:]] == [2, 1]
        counted = {
            result: world.count("cache_images_total", **ONE, result=result)
            for result in ("hit", "coalesced", "miss")
        }
        assert counted == {"hit": 4, "coalesced": 1, "miss": 3}


async def test_several_images_of_which_none_was_executed_for_them_are_coalesced(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, coalesce=True, cache_bytes=CACHE_BYTES) as world:
        await world.classify(picture(0))
        began = len(world.puppet.executed)
        world.puppet.hold()
        first = world.begin(picture(1))
        await world.puppet.began(began + 1)
        both = asyncio.create_task(world.classify_batch([("a", picture(0)), ("b", picture(1))]))
        await joined(world, 1)
        world.puppet.let_go()
        assert (await both).headers["x-cache"] == "coalesced"
        assert (await first).headers["x-cache"] == "miss"


async def test_another_version_computes_anew_and_one_that_went_leaves_nothing(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    add_version(store)
    settings = {"store_poll_interval_s": 0.05, "keep_warm_s": 0, "cache_bytes": CACHE_BYTES}
    async with serving(store, **settings) as world:
        for seed in (0, 1):
            await world.classify(picture(seed))
        assert world.count("cache_entries") == 2
        (add_version(tmp_path / "aside", version=2)).rename(store / "cifar10" / "2")
        await until(lambda: world.count("cache_entries") == 0)
        answer = await world.classify(picture(0))
        assert (answer.json()["version"], answer.headers["x-cache"]) == (2, "miss")
        assert scores(answer) == scores_of_picture(0)
        assert world.count("cache_entries") == 1


async def test_kept_answers_do_not_make_a_canary_look_slow_or_fast(tmp_path: Path) -> None:
    async with serving_canary(tmp_path, cache_bytes=CACHE_BYTES) as world:
        for key in KEYS:
            await ask(world, key)
        for version in ("1", "2"):
            labels = {"model": "cifar10", "version": version}
            assert world.count("cache_images_total", **labels, result="miss") == 1
            assert world.count("cache_images_total", **labels, result="hit") > 50
        canary = await canary_of(world)
        assert canary["requests"] > 50, "they count as answers"
        # Of the one image that was executed: with the others, p95 would be 0.
        assert canary["p95_ms"] > 0
        assert canary["stable_p95_ms"] > 0


async def test_header_is_described_and_pages_of_other_origins_may_read_it(tmp_path: Path) -> None:
    origin = "https://example.org"
    async with serving(tmp_path, cors_origins=(origin,), cache_bytes=CACHE_BYTES) as world:
        document = (await world.client.get("/openapi.json")).json()
        for path in ("/v1/classify", "/v1/classify/batch"):
            headers = document["paths"][path]["post"]["responses"]["200"]["headers"]
            assert headers["X-Cache"]["schema"]["enum"] == ["hit", "coalesced", "miss"]
        response = await world.client.post(
            "/v1/classify",
            content=picture(),
            headers={"Content-Type": "image/png", "Origin": origin},
        )
        assert response.headers["x-cache"] == "miss"
        assert "X-Cache" in response.headers["access-control-expose-headers"]
