"""What memory a server needs at most, as docs/reliability.md promises it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from app.settings import Settings

_RELIABILITY = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
# With two versions of the models in the repository; CUDA takes the more on GPUs. 200 MB and 900 MB
# were measured, without a GPU.
_IDLE_BYTES = {"cpu": 400 << 20, "gpu": 2 << 30}


def needed_bytes(
    device: Literal["cpu", "gpu"], settings: Settings, in_memory_bytes: int = 0
) -> int:
    """Return what the limit of a container has to be.

    Args:
        device: What the image is for.
        settings: Of the server.
        in_memory_bytes: Of folders that are kept in memory, which counts as the container's.
    """
    found = re.search(r"plus (\d+) MiB", _RELIABILITY)
    assert found is not None
    decoding_bytes = int(found[1]) << 20
    uploads_bytes = settings.max_pending_upload_bytes * 5 // 4  # and a quarter, says the document
    return _IDLE_BYTES[device] + uploads_bytes + decoding_bytes + in_memory_bytes
