"""``keraserve``, which writes the number of its tasks to a file whenever it gets SIGUSR1.

    python -m benchmarks.soak.counting_server FILE serve --port 9000

The service itself has no route for that: nobody but a test needs it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from app.cli import main


def count_into(path: Path) -> None:
    """Count from the next SIGUSR1 on."""

    def count(*_: object) -> None:
        # Handlers run in the main thread, within the event loop's own turn.
        tasks = len(asyncio.all_tasks())
        partial = path.with_suffix(".part")
        partial.write_text(str(tasks), encoding="ascii")
        partial.rename(path)

    signal.signal(signal.SIGUSR1, count)


if __name__ == "__main__":
    count_into(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
