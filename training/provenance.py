"""Where a version comes from: the facts that somebody needs to repeat its run."""

from __future__ import annotations

import platform
import shlex
import subprocess
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from app.artifacts.manifest import TrainingRecord
from training.config import RunConfig
from training.data import Dataset
from training.hardware import describe
from training.train import TrainedNetwork

GIT_TIMEOUT_S = 10
"""git answers in milliseconds; on a hanging network file system the record goes without."""


def repeatable_command(source: str, *, with_data: bool) -> str:
    """Return the command that repeats a run elsewhere.

    Paths of this machine mean nothing there: a configuration file keeps its name only, and the
    local copy of the data set, if there was one, is left for the reader to fill in.
    """
    words = ["keraserve-train", "run", shlex.quote(Path(source).name)]
    return " ".join([*words, "--data PATH"] if with_data else words)


def training_record(
    config: RunConfig, dataset: Dataset, trained: TrainedNetwork, command: str
) -> TrainingRecord:
    """Collect the facts of a finished run."""
    resolved = config.model_dump(mode="json", exclude_none=True)
    resolved["fit"]["precision"] = trained.precision  # what auto came to
    return TrainingRecord(
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        command=command,
        config=resolved,
        seed=config.fit.seed,
        duration_s=round(trained.duration_s, 1),
        hardware=describe(),
        libraries=library_versions(),
        commit=clean_commit(Path(__file__).parent),
    )


def library_versions() -> dict[str, str]:
    """Return the versions that decide what the same configuration computes."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def clean_commit(package: Path) -> str | None:
    """Return the commit that ``package`` was checked out from.

    None where it is not under git (installed from a wheel, perhaps into somebody's repository),
    or where a tracked file differs: the commit would not be what ran.
    """
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    changes = _git(package, "status", "--porcelain", "--untracked-files=no")
    if tracked is None or changes != "":
        return None
    return _git(package, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
