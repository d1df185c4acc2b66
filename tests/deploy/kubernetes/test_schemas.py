"""Every manifest is one that the API server takes, without a field that it does not know."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.deploy.kubernetes.combinations import of_kind, one
from tests.deploy.kubernetes.custom_resources import CustomResource
from tests.deploy.kubernetes.kustomize import Manifest

CUSTOM_RESOURCE: TypeAdapter[Any] = TypeAdapter(CustomResource)
CUSTOM_KINDS = ("ScaledObject", "ServiceMonitor")
# The oldest that has all that is used, and the newest that the schemas are carried of.
VERSIONS = ("1.31", kubernetes_validate.latest_version())


@cache  # most manifests are the same in several combinations
def validate(manifest: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_built_in_kinds_fit_their_schemas(manifests: list[Manifest], version: str) -> None:
    built_in = [each for each in manifests if each["kind"] not in CUSTOM_KINDS]
    assert len(built_in) >= 5
    for manifest in built_in:
        validate(json.dumps(manifest, sort_keys=True), version)


def test_custom_kinds_fit_their_definitions(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] in CUSTOM_KINDS:
            CUSTOM_RESOURCE.validate_python(manifest)


def test_field_that_is_misspelt_is_found(manifests: list[Manifest]) -> None:
    deployment = deepcopy(one(manifests, "Deployment"))
    deployment["spec"]["template"]["spec"]["automountServiceAccountTokens"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="automountServiceAccountTokens"):
        validate(json.dumps(deployment), VERSIONS[-1])

    for custom in (*of_kind(manifests, "ScaledObject"), *of_kind(manifests, "ServiceMonitor")):
        with pytest.raises(ValidationError, match="minReplicas"):
            CUSTOM_RESOURCE.validate_python(custom | {"spec": custom["spec"] | {"minReplicas": 1}})


def test_value_of_another_type_is_found(manifests: list[Manifest]) -> None:
    for scaled in of_kind(manifests, "ScaledObject"):
        changed = deepcopy(scaled)
        changed["spec"]["triggers"][0]["metadata"]["threshold"] = 32  # strings, says KEDA
        with pytest.raises(ValidationError, match="threshold"):
            CUSTOM_RESOURCE.validate_python(changed)
