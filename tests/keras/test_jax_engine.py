"""The jax engine, in processes of its own: in this one Keras computes with TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import keras
import pytest

from app.artifacts.manifest import read_manifest
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from tests.keras.networks import shipped
from tests.keras.server_process import ROOT, serving

pytestmark = [pytest.mark.keras, pytest.mark.timeout(400)]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_engine_keeps_the_promises_of_tests_jax() -> None:
    done = run(
        *("-m", "pytest", "-p", "no:cacheprovider", "tests/jax"),
        KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_server_names_the_ship() -> None:
    flags = ("--models", "cifar10", "--engine", "jax", "--max-batch-size", "2")
    with serving(*flags) as server:
        tested = server.wait_for("self-test passed")
        server.wait_for("ready")
        picture = (ROOT / "docs" / "images" / "ship.png").read_bytes()
        request = urllib.request.Request(
            f"{server.url}/v1/classify", data=picture, headers={"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
    assert answer["predictions"][0]["label"] == "ship"
    assert (tested["engine"], tested["precision"]) == ("jax", "float32")
    assert tested["max_deviation"] <= 1e-5


def test_jax_engine_is_refused_where_keras_computes_with_tensorflow() -> None:
    assert keras.backend.backend() == "tensorflow"
    folder = shipped("cifar10")
    with pytest.raises(ArtifactError, match=r"tensorflow in this process.*KERASERVE_ENGINE=tens"):
        load_servable(folder, read_manifest(folder), EnginePolicy("jax", "float32"))


def test_both_are_asked_for_gpus_without_deciding_for_a_backend(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from app.runtime.host import ThisHost\n"
        "host = ThisHost([Path(sys.argv[1])])  # as if there were a driver\n"
        "assert host.has_jax and host.has_tensorflow\n"
        "assert host.gpu_capability is None and host.jax_gpu_capability is None\n"
        "print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))\n"
    )
    done = run("-c", script, str(tmp_path), CUDA_VISIBLE_DEVICES="-1")
    assert done.stdout == "['jax']\n", done.stderr
