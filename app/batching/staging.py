"""Brings the next batch to the device while the present one executes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from app.batching.runner import BatchRunner, StagedBatch
from app.batching.task import BatchTask


class Staging:
    """The copy of one batch, to be there in a moment."""

    __slots__ = ("_done", "_staged", "tasks")

    def __init__(self, tasks: Sequence[BatchTask]) -> None:
        """Begin with nothing copied."""
        self.tasks = tasks
        self._staged: StagedBatch | None = None
        self._done = threading.Event()

    def finish(self, staged: StagedBatch | None) -> None:
        """Hand over what was copied; None where it could not be."""
        self._staged = staged
        self._done.set()

    def wait(self) -> StagedBatch | None:
        """Return what was copied, once it is; None where it could not be."""
        self._done.wait()
        return self._staged


def staged_at_once(runner: BatchRunner, tasks: Sequence[BatchTask]) -> Staging:
    """Have ``tasks`` copied by the calling thread; one that cannot be is none the worse for it."""
    staging = Staging(tasks)
    try:
        staged = runner.stage(tasks)
    except Exception:  # engines raise what they like; the device thread meets it again
        staged = None
    staging.finish(staged)
    return staging


class StagingThread:
    """One thread that copies, for one device thread, which starts, stops and waits for it.

    A batch that cannot be copied is none the worse for it: the device thread executes it as if it
    had not been tried, and finds out whose fault it is. Whatever ends the thread, no device thread
    is left waiting.
    """

    def __init__(self, runner: BatchRunner, *, name: str) -> None:
        """Prepare the thread; ``runner`` belongs to the device thread."""
        self._runner = runner
        self._inbox: SimpleQueue[Staging | None] = SimpleQueue()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, tasks: Sequence[BatchTask]) -> Staging:
        """Have ``tasks`` copied; from any thread. Once the thread has ended, nothing is."""
        staging = Staging(tasks)
        self._inbox.put(staging)
        if self._has_ended:
            self._turn_away()
        return staging

    def stop(self) -> None:
        """Let the thread end after what was submitted, and wait for that."""
        self._inbox.put(None)
        self._thread.join()
        self._has_ended = True
        self._turn_away()

    def _turn_away(self) -> None:
        """Finish what nobody will copy: another device thread may wait for it, on a shared shelf.

        Called by who puts something and by who has ended the thread: whichever is later finds it.
        """
        while True:
            try:
                staging = self._inbox.get_nowait()
            except Empty:
                return
            if staging is not None:
                staging.finish(None)

    def _run(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        # A function of its own, so that nothing keeps a batch on the device meanwhile.
        staging = self._inbox.get()
        if staging is None:
            return False
        try:
            staging.finish(self._runner.stage(staging.tasks))
        except BaseException:
            # SystemExit and its like too: the device thread meets it again, where it counts.
            staging.finish(None)
        return True
