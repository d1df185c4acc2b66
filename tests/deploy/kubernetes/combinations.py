"""The overlays, alone and with everything that goes together, rendered once each."""

from __future__ import annotations

import os
from pathlib import Path

from tests.deploy.kubernetes.kustomize import Manifest

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())

# What stands in the one folder that the components are added to. scale-on-cpu is in overlays/cpu.
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("overlays/cpu",),
    "cpu with keys and an image of models": (
        "overlays/cpu", "components/monitoring", "components/keys", "components/models-init",
    ),
    "gpu": ("overlays/gpu",),
    "gpu with all that KEDA needs, keys and a volume": (
        "overlays/gpu", "components/monitoring", "components/scale-on-queue", "components/keys",
        "components/models-volume",
    ),
    "scaled by prometheus-adapter": (
        "overlays/gpu", "components/monitoring", "components/scale-on-adapter",
    ),
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Write the kustomization of a combination into a folder, as a user of the overlays would."""
    base, *components = (os.path.relpath(KUBERNETES / part, folder) for part in COMBINATIONS[name])
    lines = [
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        "namespace: keraserve",
        f"resources: [{base}]",
        f"components: [{', '.join(components)}]",
    ]
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Return the manifests of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests: list[Manifest], kind: str, name: str = "keraserve") -> Manifest:
    """Return the manifest of a kind and name, which must be there."""
    (found,) = (each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name)
    return found


def container_of(manifests: list[Manifest]) -> Manifest:
    """Return the container of the server."""
    containers = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    (container,) = (each for each in containers if each["name"] == "keraserve")
    found: Manifest = container
    return found


def environment_of(manifests: list[Manifest]) -> dict[str, str]:
    """Return the variables that the server's process gets, as the kubelet puts them together."""
    container = container_of(manifests)
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        variables |= one(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        field = variable["valueFrom"]["resourceFieldRef"]
        kind, _, resource = field["resource"].partition(".")
        assert field["divisor"] == "1"
        variables[variable["name"]] = container["resources"][kind][resource]
    return variables


def bytes_of(quantity: str) -> int:
    """Read an amount of memory such as 2Gi."""
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    return int(quantity[:-2]) * units[quantity[-2:]]
