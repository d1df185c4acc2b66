"""The page as its users see it: what they do there, and what they find."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, expect

from tests.api.world import picture

# Other processes may share the cores; nothing waits this long where all is well.
PATIENCE_MS = 30_000

_WATCHED_SCHEMES = {"http", "https", "ws", "wss"}

# Violations are told by an event even where the console says nothing of them.
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  tellViolation(`${event.violatedDirective}: ${event.blockedURI}`));
const { createObjectURL, revokeObjectURL } = URL;
window.held = new Set();
URL.createObjectURL = (blob) => {
  const url = createObjectURL.call(URL, blob);
  window.held.add(url);
  return url;
};
URL.revokeObjectURL = (url) => {
  window.held.delete(url);
  revokeObjectURL.call(URL, url);
};
"""


@dataclass(frozen=True)
class Upload:
    """A file as a user has it."""

    name: str = "cat.png"
    content: bytes = field(default_factory=picture)
    mime_type: str = "image/png"

    def for_chooser(self) -> FilePayload:
        return {"name": self.name, "mimeType": self.mime_type, "buffer": self.content}

    def for_script(self) -> dict[str, Any]:
        content = base64.b64encode(self.content).decode("ascii")
        return {"name": self.name, "mimeType": self.mime_type, "content": content}


def uploads(count: int) -> list[Upload]:
    """Different pictures, named 0.png, 1.png, …"""
    return [Upload(f"{seed}.png", picture(seed)) for seed in range(count)]


class Playground:
    """One open page.

    Attributes:
        page: Of Playwright.
        hosts: Whom the page has asked.
        faults: What the browser reported: violations of the policy, errors of scripts.
    """

    def __init__(self, context: BrowserContext, url: str, folder: Path) -> None:
        self._context = context
        self.url = url
        self.folder = folder
        self.hosts: set[str] = set()
        self.faults: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self._said(message.type, message.text))
        context.expose_function("tellViolation", lambda text: self.faults.append(text))
        context.add_init_script(_WATCH)

    @classmethod
    def open(cls, browser: Browser, url: str, folder: Path, **context: Any) -> Playground:
        """Open the page and wait until it knows what the server has."""
        is_waited_for = context.pop("is_waited_for", True)
        # Without motion, what is measured does not change under the eyes of the test.
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        page = cls(browser.new_context(**(settings | context)), url, folder)
        page.page.goto(url)
        if is_waited_for:
            expect(page.model).to_be_enabled()
        return page

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in _WATCHED_SCHEMES:
            self.hosts.add(parts.netloc)

    def _said(self, kind: str, text: str) -> None:
        # Every answer that is an error is reported there as well.
        if kind == "error" and "Failed to load resource" not in text:
            self.faults.append(text)

    def assert_kept_the_rules(self) -> None:
        assert self.faults == []
        assert self.hosts <= {urlsplit(self.url).netloc}

    def close(self) -> None:
        self._context.close()

    # ---- What users do -----------------------------------------------------------------------

    def choose(self, *files: Upload) -> None:
        """Choose files by the button."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose pictures").click()
        chooser.value.set_files([file.for_chooser() for file in files])

    def drop(self, *files: Upload) -> None:
        """Drop files onto the field, with all events of a drop."""
        self.page.evaluate(
            """(files) => {
              const transfer = new DataTransfer();
              for (const { name, mimeType, content } of files) {
                const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: mimeType }));
              }
              const zone = document.querySelector("#drop");
              for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
                const isTaken = !zone.dispatchEvent(new DragEvent(kind, options));
                if (kind !== "dragenter" && !isTaken) throw new Error(`${kind} is not taken`);
              }
            }""",
            [file.for_script() for file in files],
        )

    def paste(self, content: bytes) -> None:
        """Put a PNG into the clipboard of the system, and paste it with the keyboard."""
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.evaluate(
            """async (content) => {
              const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
              const blob = new Blob([bytes], { type: "image/png" });
              await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }""",
            base64.b64encode(content).decode("ascii"),
        )
        self.page.keyboard.press("Control+V")

    def copied(self) -> str:
        """Return the text in the clipboard."""
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def copy_request(self, language: str) -> str:
        """Copy the request that is shown, by its buttons."""
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        group = self.answer.get_by_role("group", name="Copy the request")
        if not group.is_visible():
            self.answer.get_by_text("Copy as curl or Python").click()
        group.get_by_role("button", name=language, exact=True).click()
        group.get_by_role("button", name="Copy", exact=True).click()
        expect(group.get_by_role("status")).to_have_text("Copied.")
        return self.copied()

    def call(self, module: str, expression: str, *arguments: Any) -> Any:
        """Evaluate an expression over a module of the page, ``module``, and ``given``."""
        return self.page.evaluate(
            f"async (given) => {{ const module = await import('./playground/{module}');"
            f" return {expression}; }}",
            list(arguments),
        )

    # ---- What they find ----------------------------------------------------------------------

    @property
    def model(self) -> Locator:
        return self.page.get_by_role("combobox", name="Model")

    @property
    def version(self) -> Locator:
        return self.page.get_by_role("combobox", name="Version")

    @property
    def answer(self) -> Locator:
        return self.page.get_by_role("region", name="Answer", exact=True)

    @property
    def bars(self) -> Locator:
        return self.answer.get_by_role("list", name="Labels, best first").get_by_role("listitem")

    @property
    def many(self) -> Locator:
        return self.page.locator("#many")

    @property
    def rows(self) -> Locator:
        return self.many.locator("tbody tr")

    @property
    def samples(self) -> Locator:
        return self.page.get_by_role("region", name="Pictures with known answers")

    @property
    def live(self) -> Locator:
        return self.page.get_by_role("region", name="The server right now")

    @property
    def server_state(self) -> Locator:
        return self.page.locator("#server")

    @property
    def held_pictures(self) -> int:
        """Pictures that the page keeps in the browser's memory to show them."""
        count: int = self.page.evaluate("window.held.size")
        return count

    def assert_accessible(self) -> None:
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def assert_fits_its_width(self) -> None:
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0

    def texts(self, locator: Locator, selector: str) -> Sequence[str]:
        return locator.locator(selector).all_inner_texts()
