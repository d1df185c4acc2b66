"""One measurement: load a server for some seconds and print what was seen, as JSON.

Clients that wait for their answers, or requests at a rate whatever the answers do:

python -m benchmarks.load --port 8000 --target /v1/classify --pictures DIR --clients 64
python -m benchmarks.load --port 8000 --requests DIR --rate 1500 --deadline-ms 100
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from dataclasses import asdict
from pathlib import Path

import uvloop

from app.errors import ServingError
from app.load.arrivals import ARRIVALS
from app.load.connection import Address
from app.load.measuring import CONNECTIONS, Window, run_closed, run_open
from app.load.requests import CONTENTS, image_files, image_request, ready_requests
from app.turns import take_turns
from benchmarks.load.measurement import Measurement
from benchmarks.processors import (
    machine_busy_s,
    main_thread_cpu_s,
    process_cpu_s,
    process_tree_cpu_s,
)

HOST = "127.0.0.1"


def requests_of(options: argparse.Namespace) -> list[bytes]:
    """Return what is to be sent, in the order of the file names."""
    if options.requests is not None:
        return ready_requests(options.requests)
    host = f"{HOST}:{options.port}"
    return [
        image_request(path, host, options.target, options.content)
        for path in image_files(options.pictures)
    ]


class _Cpu:
    """CPU seconds at the edges of the window: of server, its event loop, this process, all."""

    def __init__(self, server_pid: int) -> None:
        self._pid = server_pid
        self._readings: list[tuple[float, ...]] = []

    def read(self) -> None:
        self._readings.append(
            (
                process_tree_cpu_s(self._pid),
                main_thread_cpu_s(self._pid),
                process_cpu_s(os.getpid()),
                machine_busy_s(),
            )
        )

    def used_s(self) -> list[float]:
        before, after = self._readings
        return [b - a for a, b in zip(before, after, strict=True)]


async def measure(options: argparse.Namespace) -> Measurement:
    requests = requests_of(options)
    address = Address(HOST, options.port)
    cpu = _Cpu(options.server_pid)
    deadline_ms = options.deadline_ms
    window = Window(
        options.seconds,
        options.warm_up_s,
        deadline_s=math.inf if deadline_ms is None else deadline_ms / 1e3,
        at_edge=cpu.read,
    )
    if options.rate is None:
        result = await run_closed(
            address,
            requests,
            options.clients,
            window,
            honours_retry_after=options.honour_retry_after,
        )
    else:
        result = await run_open(
            address,
            requests,
            options.rate,
            window,
            connections=options.connections,
            kind=options.arrivals,
        )
    server, event_loop, generator, machine = (used / result.seconds for used in cpu.used_s())
    return Measurement(
        clients=options.clients or 0,
        **asdict(result),
        server_cores=server,
        event_loop_cores=event_loop,
        generator_cores=generator,
        other_cores=max(0.0, machine - server - generator),
    )


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(text)  # argparse says which argument it is
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", help="path and query of the request, with --pictures")
    sent = parser.add_mutually_exclusive_group(required=True)
    sent.add_argument("--pictures", type=Path, help="folder of images")
    sent.add_argument(
        "--requests", type=Path, help="folder of *.http files, each one whole request, sent as is"
    )
    parser.add_argument("--content", choices=CONTENTS, default="multipart")
    load = parser.add_mutually_exclusive_group(required=True)
    load.add_argument("--clients", type=_count, help="closed loop of so many")
    load.add_argument("--rate", type=_positive, help="open loop of so many requests per second")
    parser.add_argument("--arrivals", choices=ARRIVALS, default="poisson", help="with --rate")
    parser.add_argument(
        "--connections",
        type=_count,
        default=CONNECTIONS,
        metavar="LIMIT",
        help="with --rate: most requests without an answer; what is due beyond is counted as "
        f"'not sent' (default: {CONNECTIONS})",
    )
    parser.add_argument(
        "--honour-retry-after",
        action="store_true",
        help="with --clients: a refused client waits as long as the refusal says",
    )
    parser.add_argument("--deadline-ms", type=_positive)
    parser.add_argument("--seconds", type=_positive, default=8.0)
    parser.add_argument("--warm-up-s", type=float, default=2.0)
    parser.add_argument(
        "--server-pid", type=int, required=True, help="whose CPU time to read, children included"
    )
    options = parser.parse_args()
    if options.pictures is not None and options.target is None:
        parser.error("--pictures needs --target")
    return options


def main() -> int:
    options = parse_options()
    take_turns()  # else it takes the core from the server for each answer
    try:
        measurement = uvloop.run(measure(options))
    except ServingError as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 2
    json.dump(asdict(measurement), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
