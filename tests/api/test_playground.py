"""The page for people, as it is sent; ``tests/browser`` looks at it."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import api
from tests.api.world import World, assert_problem

FOLDER = Path(api.__file__).parents[1] / "web" / "playground"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.name != "index.html")
MODULES = {name for name in NAMES if name.endswith(".js")} - {"theme.js"}
MOST_BYTES = 100_000
MOST_LINES = 300
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}


def path_of(name: str) -> str:
    return "/" if name == "index.html" else f"/playground/{name}"


async def get(
    world: World, path: str, encoding: str = "identity", **headers: str
) -> httpx.Response:
    return await world.client.get(path, headers={"Accept-Encoding": encoding} | headers)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and what stands within scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style") and data.strip():
            self.inline.append(data)


@pytest.fixture(scope="module")
def elements() -> Elements:
    parser = Elements()
    parser.feed((FOLDER / "index.html").read_text(encoding="utf-8"))
    return parser


async def test_page_is_sent_under_a_policy_that_allows_nothing_inline_and_nothing_foreign(
    world: World,
) -> None:
    response = await get(world, "/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["content-security-policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def assert_only_comments_are_left_out(sent: str, source: str) -> None:
    lines = list(zip(source.splitlines(), sent.splitlines(), strict=True))
    left_out = [line.strip() for line, as_sent in lines if as_sent != line]
    assert left_out  # every file says first what it owns
    assert not any(as_sent for line, as_sent in lines if as_sent != line)
    comment = "\n".join(left_out)
    # Whole comments, and nothing behind their end.
    assert re.fullmatch(r"(?:(?://.*|/\*(?:[^*]|\*(?!/))*\*/)(?:\n|$))+", comment)


@pytest.mark.parametrize("name", NAMES)
async def test_part_of_the_page_is_sent_as_what_it_is(world: World, name: str) -> None:
    response = await get(world, path_of(name))
    assert response.status_code == 200
    source = (FOLDER / name).read_bytes()
    if name.endswith((".js", ".css")):
        assert_only_comments_are_left_out(response.text, source.decode("utf-8"))
    else:
        assert response.content == source
    assert response.headers["content-type"] == TYPES[Path(name).suffix]


async def test_whole_page_weighs_less_than_its_limit(world: World) -> None:
    plain = compressed = 0
    for name in ["index.html", *NAMES]:
        plain += len((await get(world, path_of(name))).content)
        response = await get(world, path_of(name), "gzip")
        compressed += int(response.headers["content-length"])
    assert plain < MOST_BYTES
    assert compressed < MOST_BYTES / 2


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip;q=0.8", "GZIP", "deflate,gzip ; q=1"])
async def test_text_is_compressed_for_those_who_take_it(world: World, encoding: str) -> None:
    async with world.client.stream("GET", "/", headers={"Accept-Encoding": encoding}) as response:
        body = b"".join([part async for part in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0", "xgzip"])
async def test_text_is_plain_for_those_who_do_not(world: World, encoding: str) -> None:
    response = await get(world, "/", encoding)
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "Accept-Encoding"


async def test_pictures_are_not_compressed_once_more(world: World) -> None:
    assert "content-encoding" not in (await get(world, "/playground/ship.webp", "gzip")).headers


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
async def test_browser_that_has_it_already_is_told_so(
    world: World, path: str, encoding: str
) -> None:
    first = await get(world, path, encoding)
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}"):
        again = await get(world, path, encoding, **{"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "no-cache"
    assert (await get(world, path, encoding, **{"If-None-Match": '"other"'})).status_code == 200


async def test_plain_and_compressed_have_tags_of_their_own(world: World) -> None:
    tags = {(await get(world, "/", encoding)).headers["etag"] for encoding in ("gzip", "identity")}
    assert len(tags) == 2


@pytest.mark.parametrize(
    "name", ["index.html", "README.md", "..%2Fdocs%2Ffavicon.png", "%2e%2e", "main.js/", "none.js"]
)
async def test_nothing_else_is_given(world: World, name: str) -> None:
    assert_problem(await get(world, f"/playground/{name}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
async def test_head_is_answered_and_other_methods_are_not(world: World, path: str) -> None:
    response = await world.client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert_problem(await world.client.post(path), 405, "method_not_allowed", "GET, HEAD")


def test_page_has_nothing_inline(elements: Elements) -> None:
    assert elements.inline == []
    for tag, attributes in elements.found:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag


def test_page_names_only_what_is_there(elements: Elements) -> None:
    links = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href") and value is not None and value.startswith("playground/")
    ]
    assert {link.removeprefix("playground/") for link in links} <= set(NAMES)
    anywhere = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.[jhc]*"))
    foreign = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"'`]*", anywhere))
    assert foreign == {"http://www.w3.org/2000/svg"}  # a name, which nobody asks for


def test_all_modules_are_asked_for_at_once(elements: Elements) -> None:
    def named(tag: str, **wanted: Any) -> set[str]:
        return {
            str(attributes.get("src") or attributes.get("href")).removeprefix("playground/")
            for each, attributes in elements.found
            if each == tag and wanted.items() <= attributes.items()
        }

    assert named("script", type="module") == {"main.js"}
    assert named("link", rel="modulepreload") == MODULES - {"main.js"}
    imported = {
        name
        for module in MODULES
        for name in re.findall(r'from "\./([a-z.]+)"', (FOLDER / module).read_text("utf-8"))
    }
    assert imported == MODULES - {"main.js"}


@pytest.mark.parametrize("name", ["index.html", *NAMES])
def test_part_of_the_page_stays_small_enough_to_be_read(name: str) -> None:
    if Path(name).suffix in (".html", ".js", ".css"):
        assert len((FOLDER / name).read_text("utf-8").splitlines()) <= MOST_LINES
