"""The rounds: one server at a time, started afresh, under every load, then stopped."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import process_tree
from benchmarks.contestants import EXACT, Contestant, Work
from benchmarks.direct_client import Answer, DirectClient
from benchmarks.generator import run_generator
from benchmarks.load.measurement import Measurement
from benchmarks.servers import HOST, ROOT, BenchmarkError, ServerProcess
from benchmarks.visits import Tournament, Visit

START_TIMEOUT_S = 180.0
LEAST_BFLOAT16_AGREEMENT = 0.99
MEMORY_REQUESTS = 10_000
CONNECTIONS = 8_192
"""Most requests under way in an open loop. So many that the deadline passes first: a generator
that stops sending would be the bound on the queue that some servers lack."""
OPEN_WARM_UP_S = 1.0
_PROBE_INTERVAL_S = 0.01
_SETTLE_S = 2.0
_SETTLE_TIMEOUT_S = 60.0
_LONE_REQUESTS = 300
_TOP_UP_CLIENTS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        rounds: Visits to each contestant.
        seconds: Of each closed loop; its warm-up comes before.
        open_seconds: Of each open loop; a second of the same comes before.
        warm_up_s: Of each closed loop.
        clients: Of the closed loops, ascending.
        multiples: Rates of the open loops, times the best closed loop, ascending; the last ones
            leave a server in no state to be measured in.
        open_rounds: Of a model's rounds, so many begin with open loops.
        deadline_ms: Within which an answer counts in the open loops.
        idle_s: How long CPU time is counted with nothing to do, in the first round.
        tops_up: Whether Keraserve gets 10,000 requests before its memory is read again.
        folder: Where servers run and write their logs.
    """

    rounds: int
    seconds: float
    open_seconds: float
    warm_up_s: float
    clients: tuple[int, ...]
    multiples: tuple[float, ...]
    open_rounds: dict[str, int]
    deadline_ms: float
    idle_s: float
    tops_up: bool
    folder: Path


class Visitor:
    """Measures contestants on one model's work."""

    def __init__(self, work: Work, plan: Plan, tell: Callable[[str], None]) -> None:
        """Prepare the requests.

        Args:
            work: What all have to do.
            plan: Loads and lengths.
            tell: Takes a line about what happens now.
        """
        self._work = work
        self._plan = plan
        self._tell = tell
        self._files = sorted(work.pictures.glob("*.png"))
        self._reference = reference_labels(work)

    def visit(self, contestant: Contestant, number: int) -> Visit:
        """Start a server, measure it, stop it.

        Raises:
            BenchmarkError: It ended, was never ready, differs on too many pictures, or answered
                nothing.
        """
        requests = [contestant.make_request(file) for file in self._files]
        began = time.perf_counter()
        with ServerProcess(contestant.spec, self._plan.folder) as server:
            wait_for_answer(server, requests[0])
            first_answer_s = time.perf_counter() - began
            agreeing = self._agreeing(contestant, server, requests)
            visit = Visit(
                model=self._work.model,
                contestant=contestant.name,
                round=number,
                first_answer_s=first_answer_s,
                agreeing=agreeing,
                pictures=len(self._files),
                processes=len(server.pids),
            )
            self._tell(
                f"{self._label(visit)}: first answer after {first_answer_s:.1f} s, "
                f"{agreeing}/{len(self._files)} labels agree"
            )
            self._measure(contestant, server, visit, requests)
            if not contestant.overload_options:
                self._overload(contestant, server, visit, requests)
        if contestant.overload_options and self._opens(visit):
            options = contestant.overload_options
            spec = replace(contestant.spec, command=(*contestant.spec.command, *options))
            with ServerProcess(spec, self._plan.folder) as server:
                self._overload(contestant, server, visit, requests)
        return visit

    def _measure(
        self, contestant: Contestant, server: ServerProcess, visit: Visit, requests: list[bytes]
    ) -> None:
        if contestant.is_ours:
            visit.overhead_ms = overhead_ms(server, requests)
        content = self._content(contestant, requests)
        self._closed_loops(contestant, server, visit, content)
        visit.memory_mib = process_tree.memory_mib(server.pids)
        if contestant.is_ours and self._plan.tops_up:
            self._top_up(contestant, server, visit, content)
            visit.memory_10k_mib = process_tree.memory_mib(server.pids)
        if visit.round == 1 and self._plan.idle_s:
            visit.idle_cores = idle_cores(server, self._plan.idle_s)

    def _overload(
        self, contestant: Contestant, server: ServerProcess, visit: Visit, requests: list[bytes]
    ) -> None:
        if not (contestant.has_open_loop and self._opens(visit)):
            return
        try:
            wait_for_answer(server, requests[0])
            ask_all(server, requests)
            content = self._content(contestant, requests)
            self._open_loops(contestant, server, visit, content, requests[0])
        except BenchmarkError as error:  # what was measured before it stays
            visit.broke = error.reason
            self._tell(f"{self._label(visit)}: no further open loops: {error}")

    def _closed_loops(
        self, contestant: Contestant, server: ServerProcess, visit: Visit, content: list[str]
    ) -> None:
        plan = self._plan
        for clients in plan.clients:
            arguments = [*content, "--clients", str(clients)]
            target = contestant.spec.target
            load = run_generator(server, target, arguments, plan.seconds, plan.warm_up_s)
            visit.closed[clients] = load
            self._tell(f"{self._label(visit)}: {plural(clients)}: {described(load)}")
        if not visit.capacity_per_s:
            raise BenchmarkError(f"{contestant.name} classified nothing in any closed loop")

    def _top_up(
        self, contestant: Contestant, server: ServerProcess, visit: Visit, content: list[str]
    ) -> None:
        missing = MEMORY_REQUESTS - sum(
            load.images_per_s * load.seconds for load in visit.closed.values()
        )
        if missing > 0:
            seconds = 1.0 + missing / visit.capacity_per_s
            arguments = [*content, "--clients", str(_TOP_UP_CLIENTS)]
            run_generator(server, contestant.spec.target, arguments, seconds, 0.0)

    def _open_loops(
        self,
        contestant: Contestant,
        server: ServerProcess,
        visit: Visit,
        content: list[str],
        request: bytes,
    ) -> None:
        plan = self._plan
        target = contestant.spec.target
        if contestant.is_ours:  # the only one that a client can tell its deadline
            target += f"?timeout_ms={plan.deadline_ms:g}"
        for multiple in plan.multiples:
            wait_for_answer(server, request, _SETTLE_TIMEOUT_S)  # what was left behind is done
            rate = multiple * visit.capacity_per_s
            arguments = [*content, "--rate", f"{rate:.3f}"]
            arguments += ["--deadline-ms", str(plan.deadline_ms)]
            arguments += ["--connections", str(CONNECTIONS)]
            load = run_generator(server, target, arguments, plan.open_seconds, OPEN_WARM_UP_S)
            visit.open[multiple] = load
            self._tell(
                f"{self._label(visit)}: {multiple:g} × capacity, {rate:,.0f}/s offered: "
                f"{described(load)}"
            )

    def _content(self, contestant: Contestant, requests: list[bytes]) -> list[str]:
        """Return the generator's arguments for what is sent; write down what is ready-made."""
        if contestant.is_multipart:
            return ["--pictures", str(self._work.pictures)]
        folder = self._plan.folder / f"requests-{contestant.name.replace(' ', '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        for file, request in zip(self._files, requests, strict=True):
            (folder / f"{file.stem}.http").write_bytes(request)
        return ["--requests", str(folder)]

    def _agreeing(
        self, contestant: Contestant, server: ServerProcess, requests: list[bytes]
    ) -> int:
        labels = [
            contestant.read_label(answer.body, self._work.labels)
            for answer in ask_all(server, requests)
        ]
        same = sum(a == b for a, b in zip(labels, self._reference, strict=True))
        least = LEAST_BFLOAT16_AGREEMENT if contestant.is_bfloat16 else 1.0
        if same < math.ceil(least * len(labels)):
            raise BenchmarkError(
                f"{contestant.name} gives another best label than the reference to "
                f"{len(labels) - same} of {len(labels)} pictures: it does not do the same work"
            )
        return same

    def _opens(self, visit: Visit) -> bool:
        return visit.round <= self._plan.open_rounds.get(visit.model, 0)

    def _label(self, visit: Visit) -> str:
        return f"{visit.model}, round {visit.round}/{self._plan.rounds}, {visit.contestant}"


def plural(clients: int) -> str:
    """Return ``1 client`` or ``64 clients``."""
    return "1 client" if clients == 1 else f"{clients} clients"


def described(load: Measurement) -> str:
    """Return the figures of a progress line."""
    failed = f", other answers: {load.outcomes}" if load.failed else ""
    rate = f"{load.images_per_s:,.0f} images/s"
    return f"{rate}, p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms{failed}"


def wait_for_answer(
    server: ServerProcess, request: bytes, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Ask until the answer is 200.

    Raises:
        BenchmarkError: The server ended, or did not answer in time.
    """
    until = time.monotonic() + timeout_s
    last: Answer | OSError | None = None
    while time.monotonic() < until:
        server.check_alive()
        try:
            with DirectClient(HOST, server.port, timeout_s) as client:
                last = client.ask(request)
            if last.status == 200:
                return
        except OSError as error:
            last = error
        time.sleep(_PROBE_INTERVAL_S)
    raise BenchmarkError(
        f"{server.spec.name} classified nothing within {timeout_s:g} s; last: {str(last)[:300]}.",
        server.log_tail(),
    )


def ask_all(server: ServerProcess, requests: list[bytes]) -> list[Answer]:
    """Send each request once, one after another.

    A connection that breaks is made again once for each request: the proxy in front of Ray Serve
    reloads itself shortly after its start.

    Raises:
        BenchmarkError: An answer is not 200.
    """
    answers: list[Answer] = []
    while len(answers) < len(requests):
        before = len(answers)
        try:
            with DirectClient(HOST, server.port) as client:
                for request in requests[before:]:
                    answers.append(client.ask(request))
        except OSError as error:
            if len(answers) == before:
                raise BenchmarkError(f"{server.spec.name} does not answer: {error}") from error
    bad = next((answer for answer in answers if answer.status != 200), None)
    if bad is not None:
        raise BenchmarkError(f"{server.spec.name} answered {bad.status}: {bad.body[:300]!r}")
    return answers


def overhead_ms(server: ServerProcess, requests: list[bytes]) -> float:
    """Return what a lone request waits beyond decoding and executing, ms, median."""
    found = []
    with DirectClient(HOST, server.port) as client:
        for number in range(_LONE_REQUESTS):
            began = time.perf_counter()
            answer = client.ask(requests[number % len(requests)])
            waited_ms = (time.perf_counter() - began) * 1e3
            timing: dict[str, Any] = json.loads(answer.body)["timing"]
            found.append(waited_ms - timing["decode_ms"] - timing["execute_ms"])
    found_ms: float = median(found[len(found) // 3 :])  # the first third warms up
    return found_ms


def idle_cores(server: ServerProcess, seconds: float) -> float:
    """Return the CPU seconds per second of a server that nobody asks anything."""
    time.sleep(_SETTLE_S)  # what follows a load, closing connections and the like, is no idling
    pids = server.pids
    before, began = process_tree.cpu_s(pids), time.perf_counter()
    time.sleep(seconds)
    return (process_tree.cpu_s(pids) - before) / (time.perf_counter() - began)


def run_bound(work: Work, arguments: list[str]) -> Any:
    """Run ``benchmarks.bound`` in a process of its own; return what it printed.

    Raises:
        BenchmarkError: It failed.
    """
    command = [sys.executable, "-m", "benchmarks.bound", "--version", str(work.version)]
    command += ["--pictures", str(work.pictures), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError("the bound was not measured", f": {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def reference_labels(work: Work) -> list[str]:
    """Return the best label of each picture by Keraserve's own engine in TensorFlow float32."""
    labels: list[str] = run_bound(work, ["--labels", *EXACT])
    return labels


def play(
    work: Work,
    contestants: list[Contestant],
    plan: Plan,
    tournament: Tournament,
    tell: Callable[[str], None],
) -> Iterator[Visit]:
    """Visit every contestant in every round; who fails is left out from then on.

    Args:
        work: What all have to do.
        contestants: In the order of the report; every second round goes backwards.
        plan: Loads and lengths.
        tournament: Takes what is found, visit by visit.
        tell: Takes a line about what happens now.
    """
    visitor = Visitor(work, plan, tell)
    for number in range(1, plan.rounds + 1):
        # Turned round every time: what heats up or drifts does not always meet the same one.
        for contestant in contestants if number % 2 else contestants[::-1]:
            if contestant.name in tournament.failures:
                continue
            try:
                visit = visitor.visit(contestant, number)
                if contestant.bound:
                    bounds = run_bound(work, list(contestant.bound))
                    visit.bound_per_s = max(bounds.values())
                    tell(f"{visit.contestant}: the bound is {visit.bound_per_s:,.0f} images/s")
            except BenchmarkError as error:
                tournament.failures[contestant.name] = (
                    f"{work.model}, round {number}: {error.reason}"
                )
                tell(f"{contestant.name} is left out: {error}")
            else:
                tournament.visits.append(visit)
                yield visit
