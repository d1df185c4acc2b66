"""Has the service's own runtime load a version before it appears.

In a process of its own: training does not import the runtime, a training process may hold the
whole memory of the GPU, and nothing that training has set up can flatter the result.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from app import artifacts
from app.artifacts.layout import OPENVINO_MODEL
from training.publishing.gate import GateError

logger = logging.getLogger(__name__)

MAX_DEVIATION = 1e-4
"""Of the probabilities, in float32 on a CPU. Measured with the shipped networks: 1e-6. A GPU adds
up in another order, which costs some 1e-6 more; another rescaling or a lost temperature costs
1e-2."""

CHECK_TIMEOUT_S = 600.0
"""Starting takes 10 s, and 1,000 samples of 224×224 on two busy cores a few minutes; what is not
done by then hangs."""


def check_in_service(folder: Path, *, timeout_s: float = CHECK_TIMEOUT_S) -> None:
    """Let ``keraserve models check`` load a complete version folder and run its self-test.

    Args:
        folder: With its manifest; a staging folder as well.
        timeout_s: Longest it may take.

    Raises:
        GateError: The service would refuse the version, or computes other probabilities.
    """
    try:
        done = _run(folder, timeout_s, "check", "--json")
    except subprocess.TimeoutExpired as error:
        raise _refused(f"loading and testing it was not done after {timeout_s:g} s") from error
    found = _answer(done)
    if not found["ok"]:
        raise _refused(found["reason"])
    if found["max_deviation"] > MAX_DEVIATION:
        raise _refused(
            f"its probabilities deviate by {found['max_deviation']:.3g} from the recorded ones, "
            f"the limit is {MAX_DEVIATION:.3g}"
        )
    logger.info(
        "loaded by the service's runtime",
        extra={
            "samples": found["samples"],
            "top1_agreement": found["top1_agreement"],
            "max_deviation": float(f"{found['max_deviation']:.2g}"),
        },
    )


def export_in_service(folder: Path, *, timeout_s: float = CHECK_TIMEOUT_S) -> str | None:
    """Let ``keraserve models export`` convert the network of a folder that has a manifest.

    Returns:
        Why that failed; None where the folder has the export now.
    """
    target = (folder / OPENVINO_MODEL).parent.resolve()
    try:
        done = _run(folder, timeout_s, "export", "--to", str(target))
    except subprocess.TimeoutExpired:
        return f"it was not done after {timeout_s:g} s"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1].removeprefix("keraserve: ")


def _run(
    folder: Path, timeout_s: float, command: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # -P: a package called app in the current folder is not ours.
        [sys.executable, "-P", "-m", "app", "models", command, str(folder.resolve()), *options],
        cwd=folder,  # where no .env can be
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _environment() -> dict[str, str]:
    """Return ours, with this very package to be found from anywhere, and default settings."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    package_root = Path(artifacts.__file__).resolve().parents[2]
    paths = [package_root, *(Path(path).resolve() for path in inherited if path)]
    ours = {key: text for key, text in os.environ.items() if not key.startswith("KERASERVE_")}
    return ours | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        # What was recorded was computed by TensorFlow; the export is compared when it is made.
        "KERASERVE_ENGINE": "tensorflow",
        "KERASERVE_PRECISION": "float32",
        "CUDA_VISIBLE_DEVICES": "",  # on the CPU: the training process has the GPU's memory
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object, or the last line of a process that died without one."""
    lines = done.stdout.splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        errors = done.stderr.strip().splitlines() or ["it said nothing"]
        reason = f"the check ended with exit code {done.returncode}: {errors[-1]}"
        return {"ok": False, "reason": reason}
    return answer


def _refused(reason: str) -> GateError:
    return GateError(
        f"the service's own runtime refuses the version: {reason}; --force cannot change that"
    )
