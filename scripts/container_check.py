"""Build an image, use it as a stranger would, and check what it promises: ``make docker-test``.

The server runs confined: not as root, on a read-only file system, without capabilities, within a
limit of memory. It classifies a picture, is scraped, and is stopped. Takes whatever ``docker``
there is, and needs the standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.container_engine import (
    CheckError,
    NoEngineError,
    docker,
    expect,
    find_engine,
    in_image,
    say,
    size_mb,
    state_of,
)
from scripts.container_run import address_of, ask, running, volume, wait_until

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "ship.png"
LABEL = "ship"
USER = "10001:10001"
OTHER_MODEL = "fashion_mnist"
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cargo", "go")
# The server's own limits for a drain, 0 s and 30 s, and a little.
_STOP_S = 45
# In place of the image's intervals, so that a change of its health shows within seconds.
_ASK_OFTEN = ("--health-interval=1s", "--health-retries=1", "--health-start-period=300s")


@dataclass(frozen=True)
class Subject:
    """An image to build and to run.

    Attributes:
        dockerfile: Relative to the root of the repository.
        memory: What the container may have, in Docker's words.
        most_added_mb: What the image may add to its base, 10⁶ bytes; None: not limited.
        absent: A Python package that it must not have; None: not asked for.
        engine: What must execute the network.
        ready_s: How long it may take to be ready.
        writable: Folders in memory that it needs.
        options: Of ``docker build``.
    """

    dockerfile: str
    memory: str
    most_added_mb: int | None
    absent: str | None
    engine: str
    ready_s: float
    writable: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


SUBJECTS = {
    "cpu": Subject("docker/Dockerfile", "512m", 450, "tensorflow", "openvino", 60),
    # The image for GPUs less CUDA: what can be run where there is no GPU.
    "gpu": Subject(
        "docker/Dockerfile.gpu",
        "3g",
        None,
        "openvino",
        "tensorflow",
        300,
        ("/tmp",),  # TensorFlow is not imported without
        ("--build-arg", "LOCK=tensorflow-cpu"),
    ),
}


def base_of(dockerfile: str) -> str:
    """Return the image that a Dockerfile begins with, from its text.

    Raises:
        CheckError: It names none, as ours do.
    """
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    if found is None:
        raise CheckError("the Dockerfile has no line ARG PYTHON_IMAGE=…")
    return found[1]


def sample_of(exposition: str, metric: str, **labels: str) -> float:
    """Return the value of a metric in Prometheus' text format; 0 if it is not there."""
    for line in exposition.splitlines():
        name, _, rest = line.partition("{")
        if name == metric and all(f'{key}="{value}"' in rest for key, value in labels.items()):
            return float(line.rpartition(" ")[2])
    return 0.0


def logged(log: str, message: str) -> Mapping[str, Any] | None:
    """Return the first JSON line with this message; None if there is none."""
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("message") == message:
                return entry
    return None


def build(subject: Subject, tag: str, options: Sequence[str]) -> None:
    """Build the image; its output is shown only if that fails."""
    began_s = time.monotonic()
    command = ["docker", "build", "--file", subject.dockerfile, "--tag", tag]
    command += ["--build-arg", f"VERSION={version()}", *subject.options, *options, "."]
    say(f"building {subject.dockerfile}, which takes minutes the first time")
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise CheckError(f"docker build failed with {done.returncode}; it ends with:\n{tail}")
    say(f"  ok  built in {time.monotonic() - began_s:.0f} s")


def version() -> str:
    """Return the version of Keraserve, from its source."""
    text = (ROOT / "app" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def check_image(subject: Subject, tag: str) -> None:
    """Check what can be told without running the server."""
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", tag))
    expect(f"is run as {USER}", kept=config["User"] == USER, found=config["User"])
    entry = config["Entrypoint"]
    expect("starts the server without a shell", kept=entry == ["keraserve"], found=entry)
    labels = config.get("Labels") or {}
    told = labels.get("org.opencontainers.image.version")
    expect(f"says that it is version {version()}", kept=told == version(), found=labels)
    look = "for name in {}; do command -v $name; done; true".format(" ".join(COMPILERS))
    compilers = in_image(tag, "sh", "-c", look).split()
    expect("has no compiler", kept=not compilers, found=compilers)
    look = (
        "import pathlib, sysconfig; print(*pathlib.Path(sysconfig.get_path('purelib')).iterdir())"
    )
    packages = {Path(word).name for word in in_image(tag, "python", "-c", look).split()}
    installers = packages & {"pip", "setuptools", "tests", "training"}
    expect("has nothing that installs, and no tests", kept=not installers, found=installers)
    if subject.absent is not None:
        look = f"import importlib.util as u; print(u.find_spec({subject.absent!r}))"
        there = in_image(tag, "python", "-c", look).strip()
        expect(f"has no {subject.absent}", kept=there == "None", found=there)
    check_size(subject, tag)


def check_size(subject: Subject, tag: str) -> None:
    """Compare the image with its base."""
    base = base_of((ROOT / subject.dockerfile).read_text(encoding="utf-8"))
    added_mb = size_mb(tag) - size_mb(base)
    limit_mb = subject.most_added_mb
    allowed = "" if limit_mb is None else f", {limit_mb} at most"
    kept = limit_mb is None or added_mb <= limit_mb
    expect(f"adds {added_mb:.0f} MB to {base}{allowed}", kept=kept, found=f"{added_mb:.0f} MB")


def check_confinement(container: str, subject: Subject) -> None:
    """Check, from inside, whom the server runs as and what it may write."""
    who = docker("exec", container, "id", "-u").strip()
    expect("the server is not root", kept=who == USER.partition(":")[0], found=who)
    first = docker("exec", container, "cat", "/proc/1/cmdline").split("\0")
    is_server = any(word.endswith("/keraserve") for word in first) and "serve" in first
    expect("process 1 is the server itself", kept=is_server, found=first)
    write = "for path in / /tmp /models; do touch $path/x 2>/dev/null && echo $path; done; true"
    written = docker("exec", container, "sh", "-c", write).split()
    where = " and ".join(subject.writable)
    promise = f"nothing can be written but {where}" if where else "nothing can be written"
    expect(promise, kept=written == list(subject.writable), found=written)


def check_serving(container: str, subject: Subject) -> None:
    """Classify a picture, and look for it in the metrics."""
    address = address_of(container)
    status, text = ask(address, "/v1/classify?top_k=1", PICTURE.read_bytes())
    labels = [] if status != http.client.OK else json.loads(text)["predictions"]
    is_right = [entry["label"] for entry in labels] == [LABEL]
    expect(f"{PICTURE.name} is classified as {LABEL}", kept=is_right, found=f"{status}, {text}")
    status, text = ask(address, "/metrics")
    images = sample_of(text, "keraserve_images_total", model="cifar10", outcome="ok")
    expect("/metrics counts the image", kept=images == 1, found=f"{status}, {images}")
    engine = sample_of(text, "keraserve_model_info", model="cifar10", engine=subject.engine)
    expect(f"{subject.engine} executes it", kept=engine == 1, found=engine)


def check_stopping(container: str) -> None:
    """Stop it as an orchestrator does, and read how it ended."""
    docker("stop", "-t", str(_STOP_S), container)
    state, log = state_of(container), docker("logs", container)
    expect("stopped, it ends with exit code 0", kept=state["ExitCode"] == 0, found=state)
    expect("the limit of memory was not met", kept=not state["OOMKilled"], found=state)
    stopping, drained = logged(log, "stopping"), logged(log, "drained")
    by = (stopping or {}).get("signal")
    expect("SIGTERM reached it", kept=by == "SIGTERM", found=stopping)
    cut_off = None if drained is None else drained.get("requests_cut_off")
    expect("its log says: drained, nothing cut off", kept=cut_off == 0, found=drained)
    errors = [line for line in log.splitlines() if '"level":"error"' in line]
    expect("its log has no error", kept=not errors, found=errors)


def check_mounted_store(subject: Subject, tag: str) -> None:
    """Serve models of a volume instead of the image's, and look at its health while it drains."""
    say("running it once more, with a store of its own")
    with volume() as store:
        docker("run", "--rm", "--network", "none", "--user", "0", "--volume", f"{store}:/store",
               "--entrypoint", "cp", tag, "-r", f"/models/{OTHER_MODEL}", "/store")  # fmt: skip
        options = ["--volume", f"{store}:/models:ro", *_ASK_OFTEN]
        options += ["--env", f"KERASERVE_DEFAULT_MODEL={OTHER_MODEL}"]
        options += ["--env", f"KERASERVE_SHUTDOWN_GRACE_S={_STOP_S}"]
        with running(tag, subject.memory, subject.writable, *options) as container:
            wait_until("healthy", container, subject.ready_s)
            _, text = ask(address_of(container), "/v1/models")
            names = [model["name"] for model in json.loads(text)["models"]]
            expect("models come from the volume", kept=names == [OTHER_MODEL], found=names)
            docker("kill", "--signal", "TERM", container)
            wait_until("unhealthy", container, _STOP_S)
            say("  ok  unhealthy as soon as it is not ready")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make docker-test", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument(
        "image", nargs="?", choices=SUBJECTS, default="cpu", help="default: %(default)s"
    )
    parser.add_argument(
        "--build-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="one more option of docker build, for instance --build-option=--network=host",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every promise is kept, 1 if one is not, 2 if there is no engine."""
    options = parse(arguments)
    subject, tag = SUBJECTS[options.image], f"keraserve:test-{options.image}"
    try:
        say(f"docker engine {find_engine()}")
        build(subject, tag, options.build_option)
        check_image(subject, tag)
        say(f"running it: read-only, no capabilities, {subject.memory} of memory")
        with running(tag, subject.memory, subject.writable) as container:
            waited_s = wait_until("healthy", container, subject.ready_s)
            say(f"  ok  healthy after {waited_s:.0f} s, by its own health check")
            check_confinement(container, subject)
            check_serving(container, subject)
            check_stopping(container)
        check_mounted_store(subject, tag)
    except NoEngineError as error:
        print(f"docker-test: not run: {error}", file=sys.stderr)
        return 2
    except (CheckError, OSError) as error:
        print(f"  FAILED  {error}", file=sys.stderr)
        return 1
    say(f"docker-test: all kept by {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
