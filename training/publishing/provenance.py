"""Where a version comes from: the facts that somebody needs to repeat its run."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from app.artifacts.checksums import file_record
from app.artifacts.manifest import TrainingRecord
from training.architectures.pretrained_weights import OPTION as WEIGHTS
from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.run_directory import Origin
from training.fitting.train import TrainedNetwork

GIT_TIMEOUT_S = 10
"""git answers in milliseconds; on a hanging network file system the record goes without."""

_QUOTED = re.compile(r"""(["'])(.*?)\1""")


def repeatable_command(source: str, overrides: Sequence[str] = (), *, with_data: bool) -> str:
    """Return the command that repeats a run elsewhere.

    Paths of this machine mean nothing there: a configuration file, and a file that an override
    names, keep their names only, and the local copy of the data set, if there was one, is left
    for the reader to fill in.

    Args:
        source: The configuration, as it was given.
        overrides: ``key=value`` each, as of ``--set``.
        with_data: Whether there was a local copy.
    """
    words = ["keraserve-train", "run", Path(source).name]
    for override in overrides:
        words += ["--set", _without_folders(override)]
    return shlex.join(words) + (" --data PATH" if with_data else "")


def _without_folders(override: str) -> str:
    key, sign, value = override.partition("=")
    if '"' in value or "'" in value:  # a TOML string, or several within a table
        return key + sign + _QUOTED.sub(lambda match: match[1] + _name(match[2]) + match[1], value)
    return key + sign + _name(value)


def _name(text: str) -> str:
    return text.rpartition("/")[2]


def training_record(
    config: RunConfig, dataset: Dataset, trained: TrainedNetwork, origin: Origin, command: str
) -> TrainingRecord:
    """Collect the facts of a finished run."""
    resolved = config.model_dump(mode="json", exclude_none=True)
    resolved["fit"]["precision"] = trained.precision  # what auto came to
    if origin.teacher is not None:
        resolved["distillation"]["teacher_sha256"] = origin.teacher
    resolved["architecture"]["options"] = _portable(config.architecture.options)
    return TrainingRecord(
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        command=command,
        config=resolved,
        seed=config.fit.seed,
        duration_s=round(trained.duration_s, 1),
        hardware=origin.hardware,
        libraries=library_versions(),
        commit=origin.commit,
    )


def _portable(options: Mapping[str, bool | int | float | str]) -> dict[str, Any]:
    """Return the options with the weights' file, if there is one, by its name and its content."""
    path = Path(str(options.get(WEIGHTS, ""))).expanduser()
    if not path.is_file():  # no such option, or the name of a public set of weights
        return dict(options)
    return {**options, WEIGHTS: path.name, f"{WEIGHTS}_sha256": file_record(path).sha256}


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
