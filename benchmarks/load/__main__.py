"""One measurement: load a server for some seconds and print what was seen, as JSON.

python -m benchmarks.load --port 8000 --target /v1/classify --pictures DIR --clients 64
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
import uvloop

from benchmarks.load.client import Client, Recorder
from benchmarks.load.http import multipart_request
from benchmarks.load.measurement import Measurement
from benchmarks.processors import machine_busy_s, main_thread_cpu_s, process_cpu_s

HOST = "127.0.0.1"
ANSWER_WAIT_S = 30.0


def read_requests(pictures: Path, port: int, target: str) -> list[bytes]:
    """Return one request per picture, in the order of the file names."""
    files = sorted(pictures.glob("*.png"))
    if not files:
        raise SystemExit(f"no *.png in {pictures}")
    return [multipart_request(f"{HOST}:{port}", target, f.name, f.read_bytes()) for f in files]


async def open_clients(
    requests: list[bytes], recorder: Recorder, port: int, count: int
) -> list[Client]:
    """Connect ``count`` clients; each begins at another picture and goes round all of them."""
    clients = []
    loop = asyncio.get_running_loop()
    for number in range(count):
        start = number * len(requests) // count
        rotated = itertools.cycle(requests[start:] + requests[:start])
        client = Client(rotated, recorder)
        await loop.create_connection(lambda client=client: client, HOST, port)  # type: ignore[misc]
        clients.append(client)
    return clients


async def measure(options: argparse.Namespace) -> Measurement:
    requests = read_requests(options.pictures, options.port, options.target)
    recorder = Recorder()
    clients = await open_clients(requests, recorder, options.port, options.clients)
    all_done = asyncio.gather(*(client.done for client in clients))
    gc.freeze()
    gc.disable()  # a collection of the generator's must not show up as a server's latency
    await asyncio.wait([all_done], timeout=options.warm_up_s)

    before, began = _cpu(options.server_pid), perf_counter()
    recorder.is_open = True
    await asyncio.wait([all_done], timeout=options.seconds)  # ends early if all connections broke
    recorder.is_open = False
    duration_s, after = perf_counter() - began, _cpu(options.server_pid)

    for client in clients:
        client.stop()
    await asyncio.wait([all_done], timeout=ANSWER_WAIT_S)
    for client in clients:
        client.give_up()
    server, event_loop, generator, machine = (
        (b - a) / duration_s for a, b in zip(before, after, strict=True)
    )
    p50, p90, p99 = (
        np.percentile(recorder.latencies_s, (50, 90, 99)) * 1e3
        if recorder.latencies_s
        else (float("nan"),) * 3
    )
    return Measurement(
        clients=options.clients,
        seconds=duration_s,
        images_per_s=len(recorder.latencies_s) / duration_s,
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        outcomes=dict(recorder.outcomes),
        server_cores=server,
        event_loop_cores=event_loop,
        generator_cores=generator,
        other_cores=max(0.0, machine - server - generator),
    )


def _cpu(server_pid: int) -> tuple[float, float, float, float]:
    """CPU seconds so far: of the server, of its event loop, of this process, of everything."""
    return (
        process_cpu_s(server_pid),
        main_thread_cpu_s(server_pid),
        process_cpu_s(os.getpid()),
        machine_busy_s(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True, help="path and query of the request")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of PNG files")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--warm-up-s", type=float, default=2.0)
    parser.add_argument("--server-pid", type=int, required=True, help="whose CPU time to read")
    options = parser.parse_args()
    json.dump(asdict(uvloop.run(measure(options))), sys.stdout)


if __name__ == "__main__":
    main()
