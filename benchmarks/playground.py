"""``python -m benchmarks.playground``: how soon the page is there, its weight, how fast it is.

A real browser, fresh in each round, before a real server on this machine, whose log is in
``data/bench/run/``. A screenshot is put into the clipboard and pasted with the keyboard; the time
ends with the frame that shows the bars.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.decoders import encode, scene
from benchmarks.processors import machine_line
from benchmarks.report import Table, spread
from benchmarks.servers import BenchmarkError, ServerProcess, ServerSpec

_FOLDER = Path("data/bench/run")
_READY_S = 120.0
_SERVER = ServerSpec(
    name="playground",
    command=("-m", "app", "serve", "--port", "{port}", "--log-format", "json"),
    target="/v1/classify",
    ready_path="/readyz",
    environment={"KERASERVE_MODEL_DIR": str(Path("models").resolve())},
)

# The time of the paste is that of the event; a frame that follows the bars has been painted.
_WATCH = """
document.addEventListener("paste", () => { window.pastedAt = performance.now(); }, true);
window.shown = () => new Promise((resolve) => {
  const look = () => {
    if (document.querySelector("#answer:not([aria-busy='true']) .bars li")) {
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - window.pastedAt)));
    } else requestAnimationFrame(look);
  };
  look();
});
"""
_WEIGHT = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({ name }) => name.includes("/playground/") || new URL(name).pathname === "/")
  .map(({ transferSize, decodedBodySize }) => [transferSize, decodedBodySize])
"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_PUT = """async (content) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""


@dataclass(frozen=True, slots=True)
class Visit:
    """What one visit of the page gave.

    Attributes:
        paint_ms: From the request to the first thing that is seen.
        sent_bytes: Of the page and its parts, as they crossed the network.
        plain_bytes: The same, decompressed.
        pastes_ms: From pasting to bars, for each screenshot; the first one is the first of all.
        server_ms: The server's own part of those.
    """

    paint_ms: float
    sent_bytes: int
    plain_bytes: int
    pastes_ms: list[float]
    server_ms: list[float]


def visit(browser: Browser, url: str, screenshot: bytes, pastes: int) -> Visit:
    """Open the page with an empty cache, and paste a screenshot several times."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.add_init_script(_WATCH)
    page.goto(url)
    page.wait_for_selector("#model:enabled")
    paint_ms = page.evaluate(_PAINT)
    weights: list[list[int]] = page.evaluate(_WEIGHT)
    page.evaluate(_PUT, base64.b64encode(screenshot).decode("ascii"))
    answers: list[dict[str, Any]] = []
    pastes_ms = [_paste(page, answers) for _ in range(pastes)]
    context.close()
    return Visit(
        paint_ms=paint_ms,
        sent_bytes=sum(sent for sent, _ in weights),
        plain_bytes=sum(plain for _, plain in weights),
        pastes_ms=pastes_ms,
        server_ms=[answer["timing"]["total_ms"] for answer in answers],
    )


def _paste(page: Page, answers: list[dict[str, Any]]) -> float:
    page.evaluate("document.querySelector('#answer .bars')?.remove()")
    with page.expect_response(lambda response: "/v1/classify" in response.url) as response:
        page.keyboard.press("Control+V")
        shown_ms: float = page.evaluate("window.shown()")
    answers.append(response.value.json())
    return shown_ms


def screenshot_of(size: tuple[int, int]) -> bytes:
    """Make a PNG with the structure of a photograph: harder to decode than any real desktop."""
    image: Image.Image = scene(*size)
    return encode(image, "PNG")


def table(visits: list[Visit]) -> Table:
    """Lay the figures out: medians, and the range of all rounds."""
    first = [visit.pastes_ms[0] for visit in visits]
    later = [each for visit in visits for each in visit.pastes_ms[1:]]
    server = [each for visit in visits for each in visit.server_ms[1:]]
    rows = [
        ("first contentful paint, ms", spread(visit.paint_ms for visit in visits), "< 300"),
        ("page weight sent, kB", spread(visit.sent_bytes / 1000 for visit in visits), "< 100"),
        ("page weight decompressed, kB", spread(v.plain_bytes / 1000 for v in visits), "< 100"),
        ("paste to bars, first of a visit, ms", spread(first), "< 200"),
        ("paste to bars, later ones, ms", spread(later), "< 200"),
        ("of it in the server, ms", spread(server), ""),
    ]
    return Table(
        title=f"Playground, {len(visits)} visits",
        head=("", "median (range)", "wanted"),
        rows=[(name, str(values), wanted) for name, values, wanted in rows],
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.playground")
    parser.add_argument("--rounds", type=int, default=7, help="visits; default: %(default)s")
    parser.add_argument("--pastes", type=int, default=4, help="of each; default: %(default)s")
    parser.add_argument(
        "--size", default="1280x800", help="of the screenshot, px; default: %(default)s"
    )
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="default: the one on PATH"
    )
    options = parser.parse_args(arguments)
    if options.chromium is None:
        parser.error("there is no chromium on PATH: install it, or name it with --chromium")
    width, height = map(int, options.size.split("x"))
    screenshot = screenshot_of((width, height))
    print(machine_line())
    print(f"screenshot: {width}x{height} px, {len(screenshot) / 1000:,.0f} kB")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's does not start for root
    visits = []
    try:
        with ServerProcess(_SERVER, _FOLDER) as server, sync_playwright() as playwright:
            server.wait_ready(_READY_S)
            for _ in range(options.rounds):
                browser = playwright.chromium.launch(executable_path=options.chromium, args=flags)
                visits.append(visit(browser, server.url("/"), screenshot, options.pastes))
                browser.close()
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(visits).as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
