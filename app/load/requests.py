"""Requests as bytes, made before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.errors import ServingError

BOUNDARY = "keraserve-benchmark-boundary"

CONTENTS = ("multipart", "raw")
"""How an image is sent: as the part ``file`` of a form, or as the body itself."""

MEDIA_TYPES: Mapping[str, str] = {
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
"""The formats that the service takes, by the end of a file's name."""

MOST_BYTES = 256 * 2**20
"""Of all images together: they are held in memory, so that sending reads no disk."""


class NoRequestsError(ServingError):
    """The folder holds nothing to send."""


def image_files(folder: Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Return the images below a folder, sorted: the first ones that are not too much together.

    Raises:
        NoRequestsError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise NoRequestsError(f"{folder} is no folder")
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_TYPES and path.is_file()
    )
    files: list[Path] = []
    total_bytes = 0
    for path in found:
        total_bytes += path.stat().st_size
        if files and total_bytes > most_bytes:
            break
        files.append(path)
    if not files:
        kinds = " ".join(sorted(MEDIA_TYPES))
        raise NoRequestsError(f"no image in {folder} or below it ({kinds})")
    return files


def image_request(
    path: Path, host: str, target: str, content: str, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole ``POST`` of one image, head and body.

    Args:
        path: The image; its name goes with the form.
        host: For the header ``Host``.
        target: Path and query.
        content: One of ``CONTENTS``.
        headers: Further ones, such as the key.
    """
    image = path.read_bytes()
    media_type = MEDIA_TYPES[path.suffix.lower()]
    if content == "raw":
        return _post(host, target, media_type, image, headers or {})
    body = multipart_body(path.name, image, media_type)
    return _post(host, target, f"multipart/form-data; boundary={BOUNDARY}", body, headers or {})


def multipart_body(filename: str, content: bytes, media_type: str = "image/png") -> bytes:
    """Return a ``multipart/form-data`` body with one part ``file``, between ``BOUNDARY``."""
    name = filename.translate({ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"})
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n"
    )
    return head.encode(errors="replace") + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def _post(
    host: str, target: str, media_type: str, body: bytes, headers: Mapping[str, str]
) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {host}",
        "Accept: */*",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body


def ready_requests(folder: Path) -> list[bytes]:
    """Return the requests in the ``*.http`` files of a folder, each sent as it stands.

    Raises:
        NoRequestsError: There is none.
    """
    files = sorted(folder.glob("*.http"))
    if not files:
        raise NoRequestsError(f"no *.http in {folder}")
    return [path.read_bytes() for path in files]
