"""``keraserve bench``: measures a running server with the images of a folder."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.commands.admin import DEFAULT_URL, RequestFailedError, key_headers
from app.load.plot import plot
from app.load.report import document, remarks, sentence, tables
from app.load.requests import CONTENTS, image_files
from app.load.study import Plan, Study, StudyRun
from app.load.target import Target
from app.settings import COMMAND_LINE_KEY, ENV_PREFIX, SettingsError

_DESCRIPTION = """\
Measures a running server with your images: with 1, 4, 16 and 64 clients that wait for their answers
(closed loop), then at rates from half to one and a half times what those reached, whatever the
answers do (open loop). From these it finds the knee: the highest rate at which at least 99 % of the
requests are answered within the deadline.

  keraserve bench http://127.0.0.1:8000 --images photos --plot bench.svg
  keraserve bench --images photos --clients 1,8 --rates 200,400,800 --deadline-ms 50

Run it on another machine than the server where you can: it takes a tenth of a core at 3,000
requests per second. The server is under full load meanwhile. Ctrl-C ends it; what has been measured
is reported and written.

Exit code 0; 1: requests were lost or failed; 2: nothing was measured, for the reason that it says.
"""

_URL_VARIABLE = f"{ENV_PREFIX}URL"
_FAILED, _INTERRUPTED = 1, 130
_MOST_CLIENTS = 10_000


def add_bench_command(commands: Any) -> None:
    """Add the command to the parsers of ``keraserve``."""
    bench = commands.add_parser(
        "bench",
        help="measure a running server: how fast, how many, where it gives in",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help=f"address of the server [{_URL_VARIABLE}, default: {DEFAULT_URL}]",
    )
    bench.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images, at any depth"
    )
    bench.add_argument("--model", metavar="NAME", help="default: the server's default model")
    bench.add_argument("--version", type=int, metavar="N", help="default: the one that answers")
    bench.add_argument(
        "--content",
        choices=CONTENTS,
        default="multipart",
        help="how an image is sent: as a form, or as the body itself (default: multipart)",
    )
    bench.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"file with an API key of the scope infer [or the key in {COMMAND_LINE_KEY}]",
    )
    _add_loads(bench)
    bench.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture there (*.svg)")
    bench.set_defaults(command=_bench)


def _add_loads(bench: argparse.ArgumentParser) -> None:
    plan = Plan()
    bench.add_argument(
        "--clients",
        type=_clients,
        default=plan.clients,
        metavar="N,N,…",
        help=f"closed loops (default: {','.join(map(str, plan.clients))})",
    )
    bench.add_argument(
        "--rates",
        type=_rates,
        default=(),
        metavar="R,R,…",
        help="open loops, requests per second (default: 0.5 to 1.5 times what the closed loops "
        "reach, and two more around the knee)",
    )
    bench.add_argument(
        "--seconds",
        type=_positive,
        default=plan.seconds,
        metavar="S",
        help=f"length of each measurement, after {plan.warm_up_s:g} s of warm-up "
        f"(default: {plan.seconds:g}); a few hundred requests should fit",
    )
    bench.add_argument(
        "--deadline-ms",
        type=_positive,
        default=plan.deadline_s * 1e3,
        metavar="MS",
        help="within which an answer is of use to your callers "
        f"(default: {plan.deadline_s * 1e3:g})",
    )
    bench.add_argument(
        "--send-deadline",
        action="store_true",
        help="tell it to the server, too (timeout_ms): it may then drop what would be late",
    )
    bench.add_argument(
        "--connections",
        type=_count,
        default=plan.connections,
        metavar="N",
        help="most requests of an open loop without an answer; what is due beyond is not sent, and "
        f"counts as missed (default: {plan.connections})",
    )
    bench.add_argument(
        "--time-limit-s",
        type=_positive,
        default=plan.time_limit_s,
        metavar="S",
        help="measurements that would end later are left out, and named "
        f"(default: {plan.time_limit_s:g})",
    )


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):  # argparse says which argument it is
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_CLIENTS:
        raise ValueError(text)
    return number


def _clients(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _rates(text: str) -> tuple[float, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _bench(options: argparse.Namespace) -> int:
    url = options.url or os.environ.get(_URL_VARIABLE) or DEFAULT_URL
    for path in (options.json, options.plot):
        if path is not None and not path.parent.is_dir():
            raise SettingsError(f"{path.parent} is no folder; {path.name} could not be written")
    if options.plot is not None and options.plot.suffix.lower() != ".svg":
        raise SettingsError(f"the picture is SVG; {options.plot} should end in .svg (--plot)")
    files = image_files(options.images)
    with Target(url, _key(options), _query(options)) as target:
        requests = [target.request(path, options.content) for path in files]
        answering = target.check(requests[0])
        model = f"{answering.model}:{answering.version}"
        _tell(f"{target.url} answers with {model}; {len(files)} images from {options.images}")
        study = Study(_plan(options))
        run = StudyRun(study, target.address, requests, counters=target.counters, tell=_tell)
        was_interrupted = _carry_out(run)
    facts = {
        "url": target.url,
        "model": answering.model,
        "version": answering.version,
        "images": len(files),
        "content": options.content,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "was_interrupted": was_interrupted,
    }
    _report(options, study, facts, f"{model} at {target.url}")
    if was_interrupted:
        return _INTERRUPTED
    return _FAILED if study.failed or not study.points else 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        clients=options.clients,
        rates_per_s=options.rates,
        seconds=options.seconds,
        deadline_s=options.deadline_ms / 1e3,
        time_limit_s=options.time_limit_s,
        connections=options.connections,
    )


def _key(options: argparse.Namespace) -> dict[str, str]:
    try:
        return key_headers(options)
    except RequestFailedError as error:
        raise SettingsError(str(error)) from error


def _query(options: argparse.Namespace) -> dict[str, str | int]:
    query: dict[str, str | int] = {}
    if options.model is not None:
        query["model"] = options.model
    if options.version is not None:
        query["version"] = options.version
    if options.send_deadline:
        query["timeout_ms"] = math.ceil(options.deadline_ms)
    return query


def _carry_out(run: StudyRun) -> bool:
    """Measure; return whether Ctrl-C ended it."""
    import uvloop  # here: no other command needs it in this process

    try:
        uvloop.run(run.carry_out())
    except KeyboardInterrupt:
        _tell("interrupted")
        return True
    return False


def _report(options: argparse.Namespace, study: Study, facts: dict[str, Any], title: str) -> None:
    for line in tables(study):
        print(line)
    print(f"\n{sentence(study)}")
    for remark in remarks(study):
        print(remark)
    if options.json is not None:
        _write(options.json, json.dumps(document(study, facts), indent=1) + "\n")
    if options.plot is not None:
        _write(options.plot, plot(study, title))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from error
    _tell(f"written: {path}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
