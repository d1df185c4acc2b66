"""One soak: a server, clients, versions, and two looks at what the server holds."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import statistics
import sys
import time
from pathlib import Path

from benchmarks.comparison import READY_TIMEOUT_S
from benchmarks.servers import BenchmarkError, ServerProcess, ServerSpec
from benchmarks.soak.census import Census, take_census
from benchmarks.soak.clients import Crowd, Tally
from benchmarks.soak.findings import Findings
from benchmarks.soak.mix import kinds
from benchmarks.soak.swapping import Swapper
from benchmarks.swaps import MODEL, Store, newest_version

MAX_UPLOAD_BYTES = 4 * 1024 * 1024
_KEEP_ALIVE_S = 1
_PARTS = 10
_SETTLED_S = 30.0
_POLL_S = 0.1
_LOADED_S = 0.5
_STARTS = 3
_BEFORE_THE_KILL = 2000
_IN_FLIGHT = re.compile(r"^keraserve_in_flight_requests (\S+)", re.MULTILINE)


def soak(options: argparse.Namespace, place: Path) -> Findings:
    """Run it in a folder of its own.

    Raises:
        BenchmarkError: The server ended, a version did not do as it should, or time was up.
    """
    store = Store(place / "store", newest_version(options.model_dir))
    (store.root / MODEL).mkdir(parents=True)
    store.publish()
    task_file = place / "tasks"
    spec = ServerSpec(
        name="keraserve",
        command=("-m", "benchmarks.soak.counting_server", str(task_file), "serve",
                 "--port", "{port}", "--model-dir", str(store.root)),
        target="/v1/classify",
        ready_path="/readyz",
        environment={
            "KERASERVE_LOG_FORMAT": "json",
            "KERASERVE_LOG_LEVEL": "warning",
            "KERASERVE_STORE_POLL_INTERVAL_S": "1",
            "KERASERVE_KEEP_WARM_S": "0",
            "KERASERVE_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
            "KERASERVE_KEEP_ALIVE_TIMEOUT_S": str(_KEEP_ALIVE_S),
        },
    )  # fmt: skip
    with ServerProcess(spec, place) as server:
        server.wait_ready(READY_TIMEOUT_S)
        run = _Soak(options, server, store, task_file)
        try:
            with asyncio.Runner() as runner:
                runner.run(asyncio.wait_for(run.run(), options.most_minutes * 60))
        except TimeoutError:
            raise BenchmarkError(
                f"not done after {options.most_minutes:g} minutes, "
                f"{run.findings.tally.sent:,} requests (--most-minutes)"
            ) from None
        run.findings.exit_code = server.end(signal.SIGTERM)
    starts = [_starts_s(spec, place / f"starts-{number}", options) for number in range(_STARTS)]
    run.findings.cold_start_s, run.findings.restart_s = map(
        statistics.median, zip(*starts, strict=True)
    )
    return run.findings


def _starts_s(spec: ServerSpec, place: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Return what it takes until a server is ready, s: after one that stopped, and was killed."""
    began = time.monotonic()
    with ServerProcess(spec, place / "first") as server:
        server.wait_ready(READY_TIMEOUT_S)
        cold_s = time.monotonic() - began
        # What these are answered is lost with the server: nobody counts it.
        crowd = Crowd(server.port, kinds(MODEL, MAX_UPLOAD_BYTES), Tally(), options.seed)

        async def kill_under_load() -> None:
            sending = asyncio.create_task(crowd.send(_BEFORE_THE_KILL, options.clients))
            await asyncio.wait([sending], timeout=_LOADED_S)
            server.end(signal.SIGKILL)
            await sending

        asyncio.run(kill_under_load())
    began = time.monotonic()
    with ServerProcess(spec, place / "again") as server:
        server.wait_ready(READY_TIMEOUT_S)
        again_s = time.monotonic() - began
        server.end(signal.SIGTERM)
    return cold_s, again_s


class _Soak:
    """The parts of one soak, in their order."""

    def __init__(
        self, options: argparse.Namespace, server: ServerProcess, store: Store, task_file: Path
    ) -> None:
        self.findings = Findings(most_growth=options.most_growth, most_restart=options.most_restart)
        self._options = options
        self._server = server
        self._task_file = task_file
        self._swapper = Swapper(server, store)
        self.findings.swaps = self._swapper.swaps
        everything = kinds(MODEL, MAX_UPLOAD_BYTES)
        self._crowd = Crowd(server.port, everything, self.findings.tally, options.seed)

    async def run(self) -> None:
        """Send everything, in ten parts; look after the first one and after the last one."""
        began = time.monotonic()
        swaps = 0
        for part in range(1, _PARTS + 1):
            due = self._options.swaps * part // _PARTS
            requests = self._options.requests * part // _PARTS - self.findings.tally.sent
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._crowd.send(requests, self._options.clients))
                tasks.create_task(self._swap(due - swaps))
            swaps = due
            self.findings.seconds = time.monotonic() - began
            self._tell(part)
            if part == 1:
                self.findings.early = await self._settled(None)
        self.findings.late = await self._settled(self.findings.early)
        self.findings.in_flight = await self._in_flight()

    async def _swap(self, times: int) -> None:
        for _ in range(times):
            await self._swapper.swap()

    async def _settled(self, before: Census | None) -> Census:
        """Look once connections have been closed, and nothing more than before is held.

        What is still more after a while is what is reported.
        """
        by_s = time.monotonic() + _SETTLED_S
        least_s = time.monotonic() + 3 * _KEEP_ALIVE_S
        while True:
            census = await asyncio.to_thread(take_census, self._server.pid, self._task_file)
            now_s = time.monotonic()
            is_down = before is None or (
                census.descriptors <= before.descriptors and census.tasks <= before.tasks
            )
            if now_s >= by_s or (now_s >= least_s and is_down):
                return census
            await asyncio.sleep(_POLL_S)

    async def _in_flight(self) -> float:
        text = (await asyncio.to_thread(self._server.get, "/metrics")).decode()
        found = _IN_FLIGHT.search(text)
        assert found is not None, "a gauge is always there"
        return max(float(found[1]) - 1, 0)  # this one

    def _tell(self, part: int) -> None:
        tally = self.findings.tally
        print(
            f"{10 * part:3d} %  {tally.sent:,} requests, {self.findings.seconds:.0f} s, "
            f"{tally.wrong} wrong, {tally.lost} lost, {self.findings.swaps.taken_over} swaps",
            file=sys.stderr,
        )
