"""Runs a server in a container, confined; the standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from scripts.container_engine import CheckError, docker, say, state_of

_STEP_S = 0.2
_ANSWER_S = 10.0


@contextlib.contextmanager
def running(tag: str, memory: str, writable: Sequence[str] = (), *options: str) -> Iterator[str]:
    """Yield the id of a container with the server, and take it away afterwards.

    Args:
        tag: Of the image.
        memory: What the container may have, in Docker's words.
        writable: Folders in memory that it needs.
        options: Of ``docker run``, more of them.
    """
    limits = ["--memory", memory, "--memory-swap", memory, "--cap-drop", "ALL"]
    limits += ["--security-opt", "no-new-privileges", "--read-only", *options]
    limits += [word for folder in writable for word in ("--tmpfs", folder)]
    container = docker("run", "--detach", "--publish", "127.0.0.1::8000", *limits, tag).strip()
    try:
        yield container
    except (CheckError, OSError, KeyboardInterrupt):
        say("the log of the container ends with:")
        say("\n".join(docker("logs", container, may_fail=True).splitlines()[-25:]))
        raise
    finally:
        docker("rm", "--force", "--volumes", container, may_fail=True)


@contextlib.contextmanager
def volume() -> Iterator[str]:
    """Yield the name of a new volume, and take it away afterwards."""
    name = docker("volume", "create").strip()
    try:
        yield name
    finally:
        docker("volume", "rm", "--force", name, may_fail=True)


def address_of(container: str) -> str:
    """Return where the server answers."""
    return docker("port", container, "8000/tcp").split()[0]


def ask(
    address: str, path: str, body: bytes | None = None, kind: str = "image/png"
) -> tuple[int, str]:
    """Return status and text of an answer; GET, or POST of a body.

    Raises:
        OSError: Nobody answers.
    """
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_S)
    with contextlib.closing(connection):
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8")


def wait_until(health: Literal["healthy", "unhealthy"], container: str, within_s: float) -> float:
    """Wait until the image's own health check says so; return how long it took, s.

    Raises:
        CheckError: The container ended, or it takes too long.
    """
    began_s = time.monotonic()
    while True:
        state = state_of(container)
        found = state.get("Health", {}).get("Status", "none: the image has no health check")
        if found == health:
            return time.monotonic() - began_s
        if state["Status"] != "running" or time.monotonic() - began_s > within_s:
            raise CheckError(
                f"{health} within {within_s:.0f} s; found: {state['Status']}, health {found}, "
                f"exit code {state['ExitCode']}, out of memory: {state['OOMKilled']}"
            )
        time.sleep(_STEP_S)  # engines tell of it by a stream that has no end
