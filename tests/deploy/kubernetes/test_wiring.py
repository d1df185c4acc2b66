"""What manifests say of each other: labels, names, ports, and what is mounted where."""

from __future__ import annotations

import re
from typing import Any

from tests.deploy.kubernetes.combinations import KUBERNETES, ROOT, container_of, of_kind, one
from tests.deploy.kubernetes.kustomize import Manifest, parse, pod_of

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


def test_selectors_find_the_pods(manifests: list[Manifest]) -> None:
    deployment = one(manifests, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in of_kind(manifests, "Service")]
    selectors += [
        budget["spec"]["selector"]["matchLabels"]
        for budget in of_kind(manifests, "PodDisruptionBudget")
    ]
    selectors += [
        constraint["labelSelector"]["matchLabels"]
        for constraint in pod_of(deployment)["topologySpreadConstraints"]
    ]
    assert len(selectors) == 6
    assert all(selects(selector, labels) for selector in selectors)


def test_services_lead_to_ports_of_the_container(manifests: list[Manifest]) -> None:
    ports = {port["name"] for port in container_of(manifests)["ports"]}
    targets = {
        service["metadata"]["name"]: {port["targetPort"] for port in service["spec"]["ports"]}
        for service in of_kind(manifests, "Service")
    }
    assert targets == {"keraserve": {"http"}, "keraserve-admin": {"admin"}}
    assert ports == {"http", "admin"}


def test_service_monitor_finds_the_admin_service_and_names_the_job(
    manifests: list[Manifest],
) -> None:
    for monitor in of_kind(manifests, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        (service,) = (
            each
            for each in of_kind(manifests, "Service")
            if selects(selector, each["metadata"]["labels"])
        )
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "keraserve"


def test_with_keys_prometheus_has_one_and_the_server_its_file(manifests: list[Manifest]) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(one(manifests, "Deployment"))["volumes"]}
    has_keys = "keys" in volumes
    for monitor in of_kind(manifests, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            assert ("authorization" in endpoint) is has_keys
    if has_keys:
        (mount,) = (
            mount for mount in container_of(manifests)["volumeMounts"] if mount["name"] == "keys"
        )
        assert mount["readOnly"]
        assert "subPath" not in mount  # which would stay what it was at the start


def test_at_most_one_autoscaler_scales_the_deployment(manifests: list[Manifest]) -> None:
    scalers = of_kind(manifests, "HorizontalPodAutoscaler") + of_kind(manifests, "ScaledObject")
    assert len(scalers) <= 1
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]
        assert (target.get("kind", "Deployment"), target["name"]) == ("Deployment", "keraserve")
    assert "replicas" not in one(manifests, "Deployment")["spec"]  # each apply would reset them


def test_every_mount_has_its_volume_and_every_volume_a_mount(manifests: list[Manifest]) -> None:
    pod = pod_of(one(manifests, "Deployment"))
    mounts: list[dict[str, Any]] = []
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("volumeMounts", [])
        assert len({mount["mountPath"] for mount in own}) == len(own)
        mounts += own
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in of_kind(manifests, "PersistentVolumeClaim")}
    named = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert named == claims


def test_all_is_in_one_namespace(manifests: list[Manifest]) -> None:
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"keraserve"}


def test_document_names_every_component_and_every_secret() -> None:
    for path in sorted((KUBERNETES / "components").iterdir()):
        assert f"`{path.name}`" in OPERATIONS
        assert parse((path / "kustomization.yaml").read_text())[0]["kind"] == "Component"
    text = "".join(path.read_text() for path in (KUBERNETES / "components").rglob("*.yaml"))
    secrets = set(re.findall(r"secretName: (\S+)", text))
    secrets |= set(re.findall(r"credentials:\s+name: (\S+)", text))
    assert len(secrets) == 2
    for secret in secrets:
        assert f"create secret generic {secret}" in OPERATIONS
