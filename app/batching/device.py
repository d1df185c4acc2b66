"""The thread that the device works in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from app.batching.runner import BatchOutcome, BatchRunner
from app.batching.staging import Staging, StagingThread
from app.batching.task import BatchTask


@dataclass(frozen=True, slots=True)
class DeviceStopped:
    """The last word of a device thread.

    Attributes:
        error: Why it ended; None where it was asked to.
    """

    error: BaseException | None


class DeviceThread:
    """One thread of its own, so that two executions can never overlap.

    Not the event loop's default executor: there, a slow disk could hold up the device. Where the
    servable can copy a batch ahead, a second thread does so with batches that come while the
    device works; a batch that finds the device idle saves that detour.

    ``submit`` and ``stop`` are called on the event loop. Every submitted batch is reported once, in
    order, unless the thread ends before; ``DeviceStopped`` is always the last report.
    """

    def __init__(
        self,
        runner: BatchRunner,
        report: Callable[[BatchOutcome | DeviceStopped], object],
        *,
        name: str,
    ) -> None:
        """Prepare the thread.

        Args:
            runner: Belongs to this thread from now on.
            report: Called in this thread. It may raise where nobody listens any more (the event
                loop is closed); the thread then ends without a word.
            name: Shown by debuggers.
        """
        self._runner = runner
        self._report = report
        self._inbox: SimpleQueue[Sequence[BatchTask] | Staging | None] = SimpleQueue()
        self._stager = StagingThread(runner, name=f"copy {name}") if runner.can_stage else None
        # A daemon: an execution that hangs must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, and the one that copies for it."""
        if self._stager is not None:
            self._stager.start()
        self._thread.start()

    def submit(self, tasks: Sequence[BatchTask], *, is_behind: bool = False) -> None:
        """Have ``tasks`` executed after those submitted before.

        Args:
            tasks: A batch.
            is_behind: Whether the device has another batch to execute first: time to copy this one.
        """
        if is_behind and self._stager is not None:
            self._inbox.put(self._stager.submit(tasks))
        else:
            self._inbox.put(tasks)

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
            self._report(DeviceStopped(error))

    def _serve_next(self) -> bool:
        # A function of its own, so that no local variable keeps the last batch's images alive
        # while the thread waits for the next one.
        batch = self._inbox.get()
        if batch is None:
            return False
        if isinstance(batch, Staging):
            self._report(self._runner.run(batch.tasks, batch.wait()))
        else:
            self._report(self._runner.run(batch))
        return True
