"""The examples of ``docs/client.md``, run against a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app import client
from app.client.connection import DEFAULT_URL
from tests.api.live_server import listening
from tests.api.world import picture

DOCUMENT = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(60)
def test_examples_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, here = tmp_path / "store", tmp_path / "here"
    store.mkdir()
    here.mkdir()
    (here / "photo.png").write_bytes(picture())
    (here / "notes.txt").write_text("no image")
    monkeypatch.chdir(here)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) >= 5
    with listening(store, store_watch="off", keep_warm_s=0) as server:
        for example in EXAMPLES:
            assert DEFAULT_URL in example
            exec(example.replace(DEFAULT_URL, server.url), names)
    told = capsys.readouterr().out
    assert re.search(r"^(cat|dog|frog): \d+\.\d%$", told, re.MULTILINE)
    assert "cifar10:1, " in told
    assert "notes.txt: unsupported_format: The file is not a known image" in told
    assert "photo.png: " in told
    assert "415 unsupported_format: " in told


def test_classes_that_are_named_are_there() -> None:
    named = set(re.findall(r"`(\w+Error)`", DOCUMENT))
    assert named
    assert named <= set(client.__all__)


def test_methods_that_are_named_are_there_and_no_other_ones() -> None:
    table = DOCUMENT.split("| method | answers |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)\(", table))
    there = {name for name in vars(client.Client) if not name.startswith("_")} - {"close"}
    assert named == there
