"""The thread that the device works in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from app.batching.runner import BatchOutcome, BatchRunner
from app.batching.shelf import Shelf, Work, batch_of
from app.batching.staging import Staging, StagingThread, staged_at_once
from app.batching.task import BatchTask

MOST_QUEUED_AT_ONCE = 2**20
"""Bytes of images that the event loop puts into an engine's queue itself, in 0.2 ms at most.

More are left to a thread, which takes longer: it has to be woken, and gets the interpreter only
when the event loop waits.
"""


@dataclass(frozen=True, slots=True)
class DeviceStopped:
    """The last word of a device thread.

    Attributes:
        error: Why it ended; None where it was asked to.
    """

    error: BaseException | None


DeviceReport: TypeAlias = Callable[
    [BatchOutcome | DeviceStopped, Sequence[BatchTask] | None], object
]
"""Told what became of a batch, and which one the thread goes on with."""


class DeviceThread:
    """One thread of its own, so that two executions of one servable can never overlap.

    Not the event loop's default executor: there, a slow disk could hold up the device. Where the
    servable can copy a batch ahead, a second thread does so with batches that come while the
    device works; a batch that finds the device idle saves that detour. Where the engine has a queue
    of its own, small batches are put into it by the event loop, and the device goes on with them
    before this thread has learned that it may.

    ``submit``, ``prepare`` and ``stop`` are called on the event loop. The thread executes what it
    is given; then what lies on its shelf, as long as something does: between two batches it waits
    for nobody. Every batch that it has is reported once, in order, unless the thread ends before;
    ``DeviceStopped`` is always the last report.
    """

    def __init__(
        self,
        runner: BatchRunner,
        shelf: Shelf,
        report: DeviceReport,
        *,
        name: str,
    ) -> None:
        """Prepare the thread.

        Args:
            runner: Belongs to this thread from now on.
            shelf: What lies ready for it, or for others of the same device.
            report: Called in this thread. It may raise where nobody listens any more (the event
                loop is closed); the thread then ends without a word.
            name: Shown by debuggers.
        """
        self._runner = runner
        self._shelf = shelf
        self._report = report
        self._inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._stager = StagingThread(runner, name=f"copy {name}") if runner.can_stage else None
        # A daemon: an execution that hangs must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, and the one that copies for it."""
        if self._stager is not None:
            self._stager.start()
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Have ``work`` executed; of a thread that has nothing to do."""
        self._inbox.put(work)

    def prepare(self, tasks: Sequence[BatchTask]) -> Work:
        """Return what to lay ready for ``tasks``: there is time to copy them to the device."""
        if self._stager is None or not self._runner.may_stage(len(tasks)):
            return tasks
        if self._runner.has_queue and self._runner.nbytes(tasks) <= MOST_QUEUED_AT_ONCE:
            return staged_at_once(self._runner, tasks)
        return self._stager.submit(tasks)

    def stop(self) -> None:
        """Have the thread end after what was submitted before."""
        self._inbox.put(None)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._serve_next():
                pass
        except BaseException as raised:
            # SystemExit and its like too: a thread that ends in silence leaves its callers hanging.
            error = raised
        if self._stager is not None:
            self._stager.stop()  # before the last word: after it, the servable may be closed
        with suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
            self._report(DeviceStopped(error), None)

    def _serve_next(self) -> bool:
        # A function of its own, so that no local variable keeps the last batch's images alive
        # while the thread waits for the next one.
        work = self._inbox.get()
        if work is None:
            return False
        while work is not None:
            work = self._serve(work)
        return True

    def _serve(self, work: Work) -> Work | None:
        """Execute a batch and report it; return what to go on with."""
        staged = work.wait() if isinstance(work, Staging) else None
        outcome = self._runner.run(batch_of(work), staged)
        following = self._shelf.take()
        # Beside the report goes what the thread does next: the event loop need not guess.
        self._report(outcome, None if following is None else batch_of(following))
        return following
