"""The rounds: both servers run, one is loaded, the other stands still."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.load.counters import Spent, parse_totals, spent
from benchmarks.agreement import Agreement, check_agreement
from benchmarks.generator import generate_load
from benchmarks.load.measurement import Measurement
from benchmarks.processors import process_tree_cpu_s
from benchmarks.servers import BenchmarkError, ServerProcess, ServerSpec

READY_TIMEOUT_S = 300.0
_RESUME_TIMEOUT_S = 15.0
_SETTLE_S = 2.0

FIXED_ANSWER = ServerSpec(
    name="fixed_answer",
    command=("-m", "benchmarks.load.fixed_answer", "--port", "{port}"),
    target="/",
    ready_path="/",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        rounds: Times that every server is measured under every load.
        seconds: Length of one measurement; each is preceded by ``warm_up_s`` of the same load.
        clients: Loads, in closed loops of so many clients.
        idle_s: How long CPU time is counted with nothing to do; 0 leaves it out.
        pictures: Folder of the PNG files to send.
        folder: Where servers run and write their logs.
    """

    rounds: int
    seconds: float
    warm_up_s: float
    clients: tuple[int, ...]
    idle_s: float
    pictures: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement in its place; ``spent`` only where the server counts by itself."""

    round: int
    server: str
    load: Measurement
    spent: Spent | None


@dataclass(slots=True)
class Comparison:
    """Everything that was measured, in the order of measuring.

    Attributes:
        ceiling: The generator against a server that computes nothing.
        idle_cores: CPU seconds per second without load, by server.
    """

    servers: list[str]
    agreement: Agreement | None = None
    ceiling: Measurement | None = None
    runs: list[Run] = field(default_factory=list)
    idle_cores: dict[str, float] = field(default_factory=dict)

    def of(self, server: str, clients: int) -> list[Run]:
        """Return the runs of one server under one load, by round."""
        return [r for r in self.runs if r.server == server and r.load.clients == clients]


def compare(specs: list[ServerSpec], plan: Plan, tell: Callable[[str], None]) -> Comparison:
    """Start the servers, measure, stop them, whatever happens in between.

    Args:
        specs: Servers in the order of the report; with two, ratios are first over second.
        plan: Loads and lengths.
        tell: Takes a line about what happens now.

    Raises:
        BenchmarkError: A server ended, was never ready, or gives other answers than the other.
    """
    result = Comparison([spec.name for spec in specs])
    result.ceiling = measure_ceiling(plan)
    tell(f"load generator alone: {result.ceiling.images_per_s:,.0f} answers/s")
    with contextlib.ExitStack() as stack:
        # One after the other: loading two networks at once only makes both wait.
        servers = []
        for spec in specs:
            tell(f"{spec.name}: starting")
            server = stack.enter_context(ServerProcess(spec, plan.folder))
            server.wait_ready(READY_TIMEOUT_S)
            servers.append(server)
        result.agreement = check_agreement(servers, plan.pictures)
        for number in range(1, plan.rounds + 1):
            # Turned round every time: what heats up or drifts does not always meet the same one.
            order = servers if number % 2 else servers[::-1]
            for clients in plan.clients:
                for server in order:
                    others = [other for other in servers if other is not server]
                    run = measure_round(server, others, plan, number, clients)
                    result.runs.append(run)
                    tell(_progress(run, plan))
        if plan.idle_s:
            tell(f"idle: {plan.idle_s:g} s")
            result.idle_cores = measure_idle(servers, plan.idle_s)
    return result


def measure_ceiling(plan: Plan) -> Measurement:
    """Load a server that answers without computing: what the generator itself can do."""
    with ServerProcess(FIXED_ANSWER, plan.folder) as server:
        server.wait_ready(_RESUME_TIMEOUT_S)
        return generate_load(server, plan.pictures, max(plan.clients), seconds=2.0, warm_up_s=0.5)


def measure_round(
    server: ServerProcess, others: list[ServerProcess], plan: Plan, number: int, clients: int
) -> Run:
    """Measure one server once while the others are paused."""
    with contextlib.ExitStack() as stack:
        for other in others:
            stack.enter_context(other.paused())
        server.wait_ready(_RESUME_TIMEOUT_S)  # it may have been paused itself a moment ago
        with _counted(server) as counted:
            load = generate_load(
                server, plan.pictures, clients, seconds=plan.seconds, warm_up_s=plan.warm_up_s
            )
    server.check_alive()
    if not load.images_per_s:
        raise BenchmarkError(f"{server.spec.name} classified nothing: {load.outcomes}")
    return Run(number, server.spec.name, load, counted[0] if counted else None)


@contextlib.contextmanager
def _counted(server: ServerProcess) -> Iterator[list[Spent]]:
    """Yield a list that holds, afterwards, what the server counted meanwhile."""
    found: list[Spent] = []
    path = server.spec.metrics_path
    if path is None:
        yield found
        return
    before = parse_totals(server.get(path).decode())
    yield found
    found.append(spent(before, parse_totals(server.get(path).decode())))


def measure_idle(servers: list[ServerProcess], seconds: float) -> dict[str, float]:
    """Return the CPU seconds per second of servers that nobody asks anything."""
    time.sleep(_SETTLE_S)  # what follows a load, closing connections and the like, is no idling
    before = [process_tree_cpu_s(server.pid) for server in servers]
    began = time.perf_counter()
    time.sleep(seconds)
    duration_s = time.perf_counter() - began
    return {
        server.spec.name: (process_tree_cpu_s(server.pid) - cpu_s) / duration_s
        for server, cpu_s in zip(servers, before, strict=True)
    }


def _progress(run: Run, plan: Plan) -> str:
    load = run.load
    failed = f", FAILED {load.outcomes}" if load.failed else ""
    return (
        f"round {run.round}/{plan.rounds}, {load.clients} clients, {run.server}: "
        f"{load.images_per_s:,.0f} images/s, p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms"
        f"{failed}"
    )
