"""Executes one batch, and splits it where it fails, until each image has scores or an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.batching.policy import BatchPolicy
from app.batching.task import BatchTask, TaskResult
from app.errors import ExecutionError, OutOfDeviceMemoryError
from app.types import (
    Clock,
    ExecutionTimer,
    ImageArray,
    QueueingServable,
    ScoreArray,
    Servable,
    StagingServable,
)

NO_TIMER: ExecutionTimer = nullcontext()


@dataclass(frozen=True, slots=True)
class Execution:
    """One call of ``execute`` that gave scores.

    Attributes:
        tasks: Those whose row is good; row i of ``scores`` belongs to task i.
        scores: ``(len(tasks), K)`` float32, finite.
        size: Images that were executed; more than ``tasks`` where a row was not finite.
        padded: Rows of filling that the servable added.
        started_at_s: Clock time at which it began.
        duration_s: Stacking included.
    """

    tasks: Sequence[BatchTask]
    scores: ScoreArray
    size: int
    padded: int
    started_at_s: float
    duration_s: float


@dataclass(slots=True)
class BatchOutcome:
    """What became of one batch. Tasks cancelled meanwhile are in neither list.

    Attributes:
        taken_at_s: Clock time at which the device took the batch.
        policy: The policy from now on; another one than before after running out of memory.
        finished_at_s: Clock time at which the last part ended.
        executions: Those that gave scores.
        failures: Each culprit with what it is told; the cause is chained.
        is_device_sick: Nobody got scores, and an image that the network could classify before
            fails now as well: it is not the images.
        is_searched: Whether one culprit was looked for: only once is it likely that there is one.
    """

    taken_at_s: float
    policy: BatchPolicy
    finished_at_s: float = 0.0
    executions: list[Execution] = field(default_factory=list)
    failures: list[tuple[BatchTask, ExecutionError]] = field(default_factory=list)
    is_device_sick: bool = False
    is_searched: bool = False

    @property
    def tasks(self) -> list[BatchTask]:
        """Every task that was executed, with success or without."""
        good = [task for execution in self.executions for task in execution.tasks]
        return good + [task for task, _ in self.failures]

    def answers(self) -> Iterator[tuple[BatchTask, TaskResult | ExecutionError]]:
        """Yield each task with its row or its error; on the event loop."""
        for execution in self.executions:
            for task, row in zip(execution.tasks, execution.scores, strict=True):
                delay_s = self.taken_at_s - task.enqueued_at_s
                yield task, TaskResult(row, delay_s, execution.duration_s, execution.size)
        yield from self.failures


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A batch whose images are on the device already.

    Attributes:
        tasks: Those whose images were copied; some may have been cancelled since.
        images: What the servable made of them.
    """

    tasks: list[BatchTask]
    images: Any


class BatchRunner:
    """Runs batches on a servable, one after the other; called by one thread, but for ``stage``.

    A batch of n that raises is searched for the one image at fault, which costs ceil(log2 n) + 1
    more executions at most: those of the search, and one for all that it passed by. Where that one
    fails as well, there is more than one culprit, or none: it is halved until each stands alone; k
    culprits cost about 2·k·log2(n). Whatever is no ``Exception`` (``SystemExit``, …) is not the
    fault of an image and passes through.
    """

    def __init__(
        self,
        servable: Servable,
        policy: BatchPolicy,
        clock: Clock,
        timer: ExecutionTimer = NO_TIMER,
    ) -> None:
        """Start with ``policy``; it shrinks for good when the device runs out of memory.

        ``timer`` is entered for each execution, those included that fail.
        """
        self._servable = servable
        # Once: asking for a protocol takes 10 µs.
        self._staging = servable if isinstance(servable, StagingServable) else None
        self._queueing = servable if isinstance(servable, QueueingServable) else None
        self._policy = policy
        self._clock = clock
        self._timer = timer
        self._known_good: ImageArray | None = None

    @property
    def can_stage(self) -> bool:
        """Whether batches can be copied to the device ahead of their execution."""
        return self._staging is not None

    @property
    def has_queue(self) -> bool:
        """Whether staging waits for nothing, and what is staged is executed in any case."""
        return self._queueing is not None

    def may_stage(self, count: int) -> bool:
        """Whether so many images are worth staging; of what ``can_stage``, from any thread."""
        return self._queueing is None or self._queueing.can_queue(count)

    def nbytes(self, tasks: Sequence[BatchTask]) -> int:
        """Return the size of a batch with its filling, in bytes; all images have one shape."""
        size = min(len(tasks), self._policy.max_batch_size)  # it may have shrunk since
        return self._policy.padded_size(size) * tasks[0].image.nbytes

    def stage(self, tasks: Sequence[BatchTask]) -> StagedBatch:
        """Copy the images of ``tasks`` to the device; called by another thread than ``run``.

        What it raises is nobody's answer: ``run`` without what was copied decides.
        """
        assert self._staging is not None, "can_stage was asked"
        live = _live(tasks)
        return StagedBatch(live, self._staging.stage(np.stack([task.image for task in live])))

    def run(self, tasks: Sequence[BatchTask], staged: StagedBatch | None = None) -> BatchOutcome:
        """Execute ``tasks`` in as few executions as succeed.

        Args:
            tasks: The batch.
            staged: The same batch on the device, where it was copied ahead. Rows of tasks that
                were cancelled since are discarded: to copy the others again would take longer. One
                that is of no use any more is still waited for where the engine executes it anyway:
                what follows could not begin before.
        """
        outcome = BatchOutcome(self._clock(), self._policy)
        parts: list[list[BatchTask]] = [list(tasks)]  # a stack: what came first goes first
        if staged is not None and self._is_of_use(staged):
            error = self._attempt(staged.tasks, outcome, staged)
            parts = [] if error is None else self._after(error, staged.tasks, outcome)
        elif staged is not None and self._queueing is not None:
            with suppress(Exception), self._timer:  # nobody is left to be told
                self._queueing.execute_staged(staged.images)
        while parts:
            part = _live(parts.pop())
            if len(part) > self._policy.max_batch_size:
                parts += _halves(part)
            elif part:
                error = self._attempt(part, outcome)
                if error is not None:
                    parts += self._after(error, part, outcome)
        if outcome.failures and not any(execution.tasks for execution in outcome.executions):
            outcome.is_device_sick = self._is_device_sick()
        outcome.policy = self._policy
        outcome.finished_at_s = self._clock()
        return outcome

    def _is_of_use(self, staged: StagedBatch) -> bool:
        is_wanted = any(not task.is_done for task in staged.tasks)
        return is_wanted and len(staged.tasks) <= self._policy.max_batch_size

    def _after(
        self, error: Exception, part: list[BatchTask], outcome: BatchOutcome
    ) -> list[list[BatchTask]]:
        """Deal with a part that failed; return what has to be tried again."""
        if len(part) == 1:
            _blame(part[0], error, outcome)
            return []
        if isinstance(error, OutOfDeviceMemoryError):
            self._policy = self._policy.smaller()
            return _halves(part)
        if outcome.is_searched:
            return _halves(part)
        outcome.is_searched = True
        return self._search(error, part, outcome)

    def _search(
        self, error: Exception, suspects: list[BatchTask], outcome: BatchOutcome
    ) -> list[list[BatchTask]]:
        """Find the one image that makes ``suspects`` fail; return what has to be tried again.

        Where one half succeeds the culprit is in the other one, which need not be executed as a
        whole; where it fails, the other one is passed by, and all that was passed by is executed
        at last.
        """
        passed_by: list[BatchTask] = []
        is_proven = False  # by an execution of its own
        is_alike = True  # one image fails in one way
        while len(suspects) > 1:
            second, first = _halves(suspects)
            live = _live(first)
            found = self._attempt(live, outcome) if live else None
            if isinstance(found, OutOfDeviceMemoryError):  # it shrinks where it is tried again
                return [[*second, *passed_by], live]
            if found is None:
                suspects, is_proven = second, False
            else:
                is_alike = is_alike and _is_alike(error, found)
                suspects, error, is_proven = live, found, True
                passed_by = [*second, *passed_by]
        suspects, passed_by = _live(suspects), _live(passed_by)
        if is_proven or not suspects:
            if suspects:
                _blame(suspects[0], error, outcome)
            return [passed_by]
        if not (passed_by and is_alike):
            return [passed_by, suspects]
        # It was in two executions that failed in the same way, and all others of the second one
        # were classified without it. If all that was passed by is fine as well, it is the cause.
        found = self._attempt(passed_by, outcome)
        if found is None:
            _blame(suspects[0], error, outcome)
            return []
        # Whatever it is, it is not one image: nobody is found guilty who was not executed alone.
        return [*self._after(found, passed_by, outcome), suspects]

    def _attempt(
        self, part: list[BatchTask], outcome: BatchOutcome, staged: StagedBatch | None = None
    ) -> Exception | None:
        """Execute ``part`` into ``outcome``; return what it raised."""
        try:
            self._execute(part, outcome, staged)
        except Exception as error:
            return error
        return None

    def _execute(
        self, part: list[BatchTask], outcome: BatchOutcome, staged: StagedBatch | None
    ) -> None:
        started_at_s = self._clock()
        scores, is_good = self._scores([task.image for task in part], staged)
        tasks = part
        if not is_good.all():
            tasks = [task for task, good in zip(part, is_good, strict=True) if good]
            scores = scores[is_good]
            for task, good in zip(part, is_good, strict=True):
                if not good:
                    cause = ExecutionError("The network answered with NaN or infinity.")
                    message = "The network gave no usable scores for this image."
                    outcome.failures.append((task, _failure(message, cause)))
        if tasks:
            self._known_good = tasks[0].image
        size = len(part)
        padded = self._policy.padded_size(size) - size
        duration_s = self._clock() - started_at_s
        outcome.executions.append(Execution(tasks, scores, size, padded, started_at_s, duration_s))

    def _scores(
        self, images: list[ImageArray], staged: StagedBatch | None = None
    ) -> tuple[ScoreArray, NDArray[np.bool_]]:
        """Execute ``images``; return ``(N, K)`` scores and which of the N rows are finite."""
        with self._timer:
            if staged is not None and self._staging is not None:
                answer = self._staging.execute_staged(staged.images)
            else:
                # A lone one needs no copy, which takes longer than looking at it.
                batch = np.stack(images) if len(images) > 1 else images[0][np.newaxis]
                answer = self._servable.execute(batch)  # (N, H, W, C) uint8, 0..255
        # A copy: an engine may write its next answer into the same memory.
        scores = np.array(answer, dtype=np.float32)  # (N, K)
        if scores.ndim != 2 or len(scores) != len(images) or scores.shape[1] == 0:
            raise ExecutionError(
                f"The network answered {len(images)} images with shape {scores.shape}; "
                f"({len(images)}, classes) is needed."
            )
        is_good: NDArray[np.bool_] = np.asarray(np.isfinite(scores).all(axis=1))  # (N,)
        return scores, is_good

    def _is_device_sick(self) -> bool:
        if self._known_good is None:
            return False
        try:
            return not self._scores([self._known_good])[1].all()
        except Exception:
            return True


def _live(part: Sequence[BatchTask]) -> list[BatchTask]:
    """Return those whose callers have not left."""
    return [task for task in part if not task.is_done]


def _halves(part: Sequence[BatchTask]) -> list[list[BatchTask]]:
    """Return both halves, the first one last: the stack gives it out first."""
    middle = (len(part) + 1) // 2
    return [list(part[middle:]), list(part[:middle])]


def _is_alike(error: Exception, other: Exception) -> bool:
    return type(error) is type(other) and str(error) == str(other)


def _blame(task: BatchTask, error: Exception, outcome: BatchOutcome) -> None:
    message = "The network failed on this image."
    if isinstance(error, OutOfDeviceMemoryError):
        message = "The device has no memory left for a single image."
    outcome.failures.append((task, _failure(message, error)))


def _failure(message: str, cause: Exception) -> ExecutionError:
    error = ExecutionError(message)
    error.__cause__ = cause
    return error
