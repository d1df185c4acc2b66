"""The tests' own renderer does what kubectl does, and refuses what it cannot do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kubernetes.combinations import COMBINATIONS, COMPONENTS, write
from tests.deploy.kubernetes.kustomize import Manifest, parse, render

KUBECTL = shutil.which("kubectl")


def comparable(value: Any) -> Any:
    """Put lists of named things into one order: where patches add, kustomize puts it first."""
    if isinstance(value, dict):
        return {key: comparable(child) for key, child in value.items()}
    if isinstance(value, list):
        children = [comparable(child) for child in value]
        return sorted(children, key=lambda child: json.dumps(child, sort_keys=True))
    return value


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Any]:
    return {(one["kind"], one["metadata"]["name"]): comparable(one) for one in manifests}


@pytest.mark.skipif(KUBECTL is None, reason="needs kubectl, which renders as well (#8)")
@pytest.mark.parametrize("name", COMBINATIONS)
def test_manifests_are_those_that_kubectl_renders(name: str, tmp_path: Path) -> None:
    folder = write(name, tmp_path)

    command = [str(KUBECTL), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert by_name(parse(done.stdout)) == by_name(render(folder))


def test_every_component_is_in_a_combination() -> None:
    used = {part.partition("/")[2] for parts in COMBINATIONS.values() for part in parts}
    assert used | {"scale-on-cpu"} == {*COMPONENTS, "cpu", "gpu"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("namePrefix: a-", "namePrefix", id="a field of kustomize not known here"),
        pytest.param("images: []\nimages: []", "twice", id="a key that stands twice"),
        pytest.param("resources: [one.yaml, one.yaml]", "twice", id="a manifest that is twice"),
        pytest.param(
            "resources: [one.yaml]\npatches: [{path: patch.yaml}]", "directives", id="a deletion"
        ),
    ],
)
def test_what_cannot_be_rendered_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(text + "\n")
    (tmp_path / "one.yaml").write_text("kind: Service\nmetadata: {name: a}\nspec: {type: x}\n")
    (tmp_path / "patch.yaml").write_text("kind: Service\nmetadata: {name: a}\nspec: {type: null}\n")
    with pytest.raises(ValueError, match=message):
        render(tmp_path)
