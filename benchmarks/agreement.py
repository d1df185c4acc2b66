"""Whether two servers say the same of the same pictures: before any time is taken."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path

from app.load.requests import BOUNDARY, multipart_body
from benchmarks.servers import HOST, BenchmarkError, ServerProcess


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two servers' answers compare.

    Attributes:
        pictures: Pictures sent to both.
        classes: Different top-1 labels among the answers.
        largest_deviation: Of the top-1 scores, absolute.
    """

    pictures: int
    classes: int
    largest_deviation: float


def top_answers(server: ServerProcess, pictures: list[Path]) -> list[tuple[str, float]]:
    """Return label and score of the best class of each picture.

    Raises:
        BenchmarkError: An answer is not 200.
    """
    answers = []
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    try:
        for file in pictures:
            body = multipart_body(file.name, file.read_bytes())
            connection.request("POST", server.spec.target, body, headers)
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise BenchmarkError(
                    f"{server.spec.name} answered {response.status} to {file.name}: "
                    f"{content[:500].decode(errors='replace')}"
                )
            best = json.loads(content)["predictions"][0]
            answers.append((str(best["label"]), float(best["score"])))
    finally:
        connection.close()
    return answers


def check_agreement(servers: list[ServerProcess], folder: Path) -> Agreement:
    """Send every picture of ``folder`` to each server and compare the best labels.

    Raises:
        BenchmarkError: They differ: then the servers do not do the same work.
    """
    pictures = sorted(folder.glob("*.png"))
    first, *others = (top_answers(server, pictures) for server in servers)
    largest = 0.0
    for other in others:
        different = [
            f"{file.name}: {a[0]} {a[1]:.4f} against {b[0]} {b[1]:.4f}"
            for file, a, b in zip(pictures, first, other, strict=True)
            if a[0] != b[0]
        ]
        if different:
            raise BenchmarkError(
                f"{servers[0].spec.name} and {servers[1].spec.name} differ on {len(different)} of "
                f"{len(pictures)} pictures, e.g. {different[0]}. Do both serve the same model?"
            )
        largest = max(largest, *(abs(a[1] - b[1]) for a, b in zip(first, other, strict=True)))
    return Agreement(len(pictures), len({label for label, _ in first}), largest)
