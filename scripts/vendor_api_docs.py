"""Refresh ``app/web/docs``: Swagger UI and ReDoc, served by Keraserve itself.

Run by hand when one of the two versions below is raised; needs npm. The tarballs come from
whatever registry npm is configured for, which checks their integrity.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "app" / "web" / "docs"

SWAGGER_UI = "swagger-ui-dist@5.35.0"
REDOC = "redoc@2.5.4"

# path in the package -> name in TARGET
SWAGGER_UI_FILES = {
    "swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css": "swagger-ui.css",
    "favicon-32x32.png": "favicon.png",
    "LICENSE": "swagger-ui.LICENSE.txt",
    "NOTICE": "swagger-ui.NOTICE.txt",
}
REDOC_FILES = {
    "bundles/redoc.standalone.js": "redoc.standalone.js",
    "bundles/redoc.standalone.js.LICENSE.txt": "redoc.standalone.js.LICENSE.txt",
    "LICENSE": "redoc.LICENSE.txt",
}

# ReDoc loads its maker's logo from a CDN; the page has to work without reaching the internet.
REMOTE_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
EMPTY_IMAGE = b"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"

# Only the last one of a file is meant for the browser; others are strings inside the program.
SOURCE_MAP = re.compile(rb"\s*(//# sourceMappingURL=\S+|/\*# sourceMappingURL=[^*]+\*/)\s*\Z")

README = """\
# API documentation pages

Served at `/docs` and `/redoc`, so that both work without reaching the internet. Not written here:

| package | version | licence | files |
|---|---|---|---|
{rows}

Changed against the packages: the pointers to source maps are taken out, and the logo that
`redoc.standalone.js` loads from a CDN is an empty image. `scripts/vendor_api_docs.py` fetches and
changes them; raise the versions there.
"""


def unpack(package: str, files: dict[str, str]) -> None:
    """Fetch ``package`` and write the chosen files, without their source maps, into TARGET."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            for source, name in files.items():
                member = tar.extractfile(f"package/{source}")
                if member is None:
                    raise SystemExit(f"{package} has no file {source}")
                content = member.read()
                if name.endswith((".js", ".css")):
                    content = SOURCE_MAP.sub(b"\n", content)
                (TARGET / name).write_bytes(content)


def replace_logo(path: Path) -> None:
    """Point ReDoc's remote logo to an empty image."""
    content = path.read_bytes()
    if content.count(REMOTE_LOGO) != 1:
        raise SystemExit(f"{path.name}: expected one {REMOTE_LOGO.decode()}; look at it again")
    path.write_bytes(content.replace(REMOTE_LOGO, EMPTY_IMAGE))


def row(package: str, licence: str, files: dict[str, str]) -> str:
    """Return the README's line on one package."""
    name, _, version = package.rpartition("@")
    written = ", ".join(f"`{file}`" for file in files.values())
    return f"| `{name}` (npm) | {version} | {licence} | {written} |"


def main() -> int:
    """Replace everything in TARGET."""
    TARGET.mkdir(parents=True, exist_ok=True)
    unpack(SWAGGER_UI, SWAGGER_UI_FILES)
    unpack(REDOC, REDOC_FILES)
    replace_logo(TARGET / "redoc.standalone.js")
    rows = [row(SWAGGER_UI, "Apache-2.0", SWAGGER_UI_FILES), row(REDOC, "MIT", REDOC_FILES)]
    (TARGET / "README.md").write_text(README.format(rows="\n".join(rows)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
