"""Versions that come while a real server answers real requests."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.layout import MODEL, SAMPLES
from app.artifacts.samples import Samples, read_samples, write_samples
from app.registry.labels import set_label
from tests.factories.versions import edit_manifest
from tests.keras.server_process import PATIENCE_S, ROOT, Server, serving

pytestmark = [pytest.mark.keras, pytest.mark.timeout(300)]

PICTURE = (ROOT / "docs" / "images" / "sneaker.png").read_bytes()
CLIENTS = 16
NAME = "fashion_mnist"
SHIPPED = max((ROOT / "models" / NAME).iterdir(), key=lambda folder: folder.name)


def publish(store: Path, version: int, spoil: Callable[[Path], None] | None = None) -> None:
    """Put a copy of the shipped version into the store by one rename, whole or spoilt."""
    staging = store / NAME / f".staging-{version}"
    shutil.copytree(SHIPPED, staging)
    edit_manifest(staging, version=version)
    if spoil is not None:
        spoil(staging)
    staging.rename(store / NAME / str(version))


def without_network(folder: Path) -> None:
    (folder / MODEL).unlink()


def with_a_changed_byte(folder: Path) -> None:
    content = bytearray((folder / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / MODEL).write_bytes(content)


def of_an_unknown_schema(folder: Path) -> None:
    edit_manifest(folder, schema_version=99)


def with_another_class(folder: Path) -> None:
    classes = json.loads((folder / "manifest.json").read_text())["classes"]
    edit_manifest(folder, classes=[*classes[:-1], "Kimono"])


def that_fails_its_self_test(folder: Path) -> None:
    samples = read_samples(folder / SAMPLES)
    others = np.roll(samples.probabilities, 1, axis=1)
    write_samples(folder / SAMPLES, Samples(samples.images, others, samples.labels))
    (folder / "manifest.json").rename(folder.parent / ".manifest")
    records = {name: record.model_dump() for name, record in folder_records(folder).items()}
    (folder.parent / ".manifest").rename(folder / "manifest.json")
    edit_manifest(folder, files=records)


SPOILT = {
    4: (without_network, f"'{MODEL}' is missing"),
    7: (with_a_changed_byte, f"'{MODEL}' has SHA-256"),
    11: (of_an_unknown_schema, "schema_version"),
    15: (with_another_class, "it has Kimono in addition and it lacks Ankle boot"),
    18: (that_fails_its_self_test, "self-test"),
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / NAME).mkdir()
    publish(tmp_path, 1)
    return tmp_path


def start(store: Path) -> Any:
    flags = ["--model-dir", str(store), "--default-model", NAME, "--store-poll-interval-s", "1"]
    return serving(*flags)


def classify(url: str) -> int:
    request = urllib.request.Request(url, data=PICTURE, headers={"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(json.load(response)["version"])


def models(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/v1/models", timeout=30) as response:
        (model,) = json.load(response)["models"]
    assert isinstance(model, dict)
    return model


class Load:
    """Clients in a closed loop, and what they were answered."""

    def __init__(self, server: Server) -> None:
        self.versions: Counter[int] = Counter()
        self.failures: list[str] = []
        self._url = f"{server.url}/v1/classify"
        self._is_over = False
        self._changed = threading.Condition()

    def run(self) -> None:
        while not self._is_over:
            try:
                version, failure = classify(self._url), None
            except OSError as error:
                version, failure = None, repr(error)
            with self._changed:
                if version is not None:
                    self.versions[version] += 1
                if failure is not None:
                    self.failures.append(failure)
                self._changed.notify_all()

    def wait_for(self, version: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.versions[version] > 0, PATIENCE_S), version

    @contextmanager
    def on(self) -> Iterator[None]:
        clients = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._is_over = True
            for client in clients:
                client.join()


def test_twenty_versions_come_under_load_and_no_request_notices(store: Path) -> None:
    with start(store) as server:
        server.wait_for("ready")
        load = Load(server)
        with load.on():
            for version in range(2, 22):
                spoil, reason = SPOILT.get(version, (None, ""))
                publish(store, version, spoil)
                if spoil is None:
                    load.wait_for(version)
                else:
                    line = server.wait_for("version failed", version=version)
                    assert reason in line["reason"]
        told = {version["version"]: version for version in models(server)["versions"]}

    assert load.failures == []
    assert set(load.versions) == set(range(1, 22)) - set(SPOILT)
    assert told[21]["state"] == "AVAILABLE"
    for version, (_, reason) in SPOILT.items():
        assert told[version]["state"] == "FAILED"
        assert reason in told[version]["reason"]


def test_killed_in_the_middle_of_a_swap_it_comes_up_with_the_newest_good_version(
    store: Path,
) -> None:
    with start(store) as server:
        server.wait_for("ready")
        publish(store, 2)
        server.wait_for("version changed state", version=2, state="WARMING")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    publish(store, 3, with_a_changed_byte)

    with start(store) as server:
        server.wait_for("ready")
        assert classify(f"{server.url}/v1/classify") == 2


def test_rolled_back_it_stays_so_over_a_restart_and_newer_versions(store: Path) -> None:
    publish(store, 2)
    with start(store) as server:
        server.wait_for("ready")
        url = f"{server.url}/v1/classify"
        assert classify(url) == 2
        set_label(store, NAME, "stable", 1)
        server.wait_for("version changed state", version=1, state="AVAILABLE")
        assert classify(url) == 1
        publish(store, 3)
        server.wait_for("version changed state", version=3, state="AVAILABLE")
        assert classify(url) == 1
        assert classify(f"{url}?version=3") == 3

    with start(store) as server:
        server.wait_for("ready")
        assert classify(f"{server.url}/v1/classify") == 1
        assert models(server)["labels"] == {"stable": 1}


def test_store_taken_away_and_put_back(store: Path, tmp_path: Path) -> None:
    aside = tmp_path.with_name(f"{tmp_path.name}-aside")
    with start(store) as server:
        server.wait_for("ready")
        url = f"{server.url}/v1/classify"
        store.rename(aside)
        assert classify(url) == 1

        aside.rename(store)
        publish(store, 2)
        server.wait_for("version changed state", version=2, state="AVAILABLE")
        assert classify(url) == 2
