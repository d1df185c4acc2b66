from __future__ import annotations

import pytest

from scripts.bootstrap import LAYERS, ROOT, locks_of


@pytest.mark.parametrize(
    ("layer", "accelerator", "locks"),
    [
        pytest.param("serve", "cpu", ["cpu"], id="a server on CPUs has no TensorFlow"),
        pytest.param("serve", "gpu", ["gpu"], id="a server on GPUs has its own"),
        pytest.param("tensorflow", "cpu", ["tensorflow-cpu"], id="beside it on CPUs"),
        pytest.param("tensorflow", "gpu", [], id="not twice on GPUs"),
        pytest.param("train", "gpu", ["train"], id="the same for both"),
    ],
)
def test_layer_is_made_of_locks(layer: str, accelerator: str, locks: list[str]) -> None:
    assert locks_of(layer, accelerator) == locks


@pytest.mark.parametrize("accelerator", ["cpu", "gpu"])
def test_every_layer_has_its_locks(accelerator: str) -> None:
    for layer in LAYERS:
        for lock in locks_of(layer, accelerator):
            assert (ROOT / "requirements" / f"{lock}.txt").is_file()


def test_server_on_cpus_needs_no_tensorflow() -> None:
    lock = (ROOT / "requirements" / "cpu.txt").read_text()
    assert "openvino==" in lock
    assert "tensorflow" not in lock
