"""Each test of the manifests runs on every combination of overlay and components."""

from __future__ import annotations

import pytest

from tests.deploy.kubernetes.combinations import COMBINATIONS, write
from tests.deploy.kubernetes.kustomize import Manifest, render


@pytest.fixture(scope="module", params=COMBINATIONS)
def manifests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    """For reading: the tests of a module share it."""
    return render(write(request.param, tmp_path_factory.mktemp("kustomization")))
