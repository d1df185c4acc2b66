"""Renders what deploy/kubernetes uses of kustomize, so that the tests need no kubectl.

What it does not know is refused, not passed over: resources, components, generated ConfigMaps from
``envs`` and ``literals``, strategic merge patches without directives, images, namespace.
``test_rendering.py`` holds it against kubectl where there is one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

_KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "configMapGenerator", "images",
    "patches",
}  # fmt: skip
# Lists of the built-in kinds whose entries are merged one by one; the others are replaced.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
_CUSTOM_KINDS = {"ScaledObject", "ServiceMonitor"}
_HASH_LETTERS = str.maketrans("013ae", "ghkmt")


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]  # without types
    """Refuses a key that stands twice, as kubectl does; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise ValueError(f"a key stands twice: {keys} ({node.start_mark})")
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def parse(text: str) -> list[Manifest]:
    """Read the documents of a YAML stream."""
    return [document for document in yaml.load_all(text, _StrictLoader) if document]


def render(folder: Path) -> list[Manifest]:
    """Return the manifests of a kustomization, ConfigMaps named with their hash."""
    manifests = _accumulate(folder, [])
    for config_map in [one for one in manifests if one.pop("generated", False)]:
        name = config_map["metadata"]["name"]
        hashed = f"{name}-{_hash_of(config_map)}"
        config_map["metadata"]["name"] = hashed
        for manifest in manifests:
            _rename_references(manifest, name, hashed)
    return manifests


def pod_of(manifest: Manifest) -> Manifest:
    """Return the pod's specification in a Deployment."""
    specification: Manifest = manifest["spec"]["template"]["spec"]
    return specification


def _accumulate(folder: Path, parent: list[Manifest]) -> list[Manifest]:
    (kustomization,) = parse((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := kustomization.keys() - _KNOWN:
        raise ValueError(f"{folder}: {sorted(unknown)} cannot be rendered here")
    manifests = parent + _resources(folder, kustomization.get("resources", []))
    for name in kustomization.get("components", []):
        manifests = _accumulate(folder / name, manifests)
    for generator in kustomization.get("configMapGenerator", []):
        manifests = _generated(folder, generator, manifests)
    for patch in kustomization.get("patches", []):
        _apply(folder, patch, manifests)
    for manifest in manifests:
        for image in kustomization.get("images", []):
            _set_image(manifest, image)
        if "namespace" in kustomization:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    if len(set(names)) < len(names):
        raise ValueError(f"{folder}: something is there twice: {sorted(names)}")
    return manifests


def _resources(folder: Path, names: list[str]) -> list[Manifest]:
    manifests: list[Manifest] = []
    for path in (folder / name for name in names):
        is_folder = path.is_dir()
        manifests += _accumulate(path, []) if is_folder else parse(path.read_text("utf-8"))
    return manifests


def _generated(folder: Path, generator: Manifest, manifests: list[Manifest]) -> list[Manifest]:
    lines = list(generator.get("literals", []))
    for name in generator.get("envs", []):
        lines += (folder / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    data = {key: value for key, _, value in pairs}
    if generator.get("behavior", "create") == "merge":
        existing = _named(manifests, "ConfigMap", generator["name"])
        existing["data"] |= data
        return manifests
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": generator["name"]},
        "data": data,
        "generated": True,
    }
    return [*manifests, config_map]


def _named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def _apply(folder: Path, patch: Manifest, manifests: list[Manifest]) -> None:
    (change,) = parse((folder / patch["path"]).read_text(encoding="utf-8"))
    target = patch.get("target")
    kind, name = change["kind"], change["metadata"]["name"]
    if target is None:
        _merge(_named(manifests, kind, name), change, custom=kind in _CUSTOM_KINDS)
        return
    for manifest in manifests:  # with a target, none is none
        if manifest["kind"] == target["kind"] and manifest["metadata"]["name"] == target["name"]:
            _merge(manifest, change, custom=kind in _CUSTOM_KINDS)


def _merge(into: Manifest, change: Manifest, *, custom: bool) -> None:
    for key, value in change.items():
        if value is None or key.startswith("$"):
            raise ValueError(f"{key}: directives cannot be rendered here")
        known = into.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge(known, value, custom=custom)
        elif isinstance(value, list) and isinstance(known, list) and _merges(key, custom):
            _merge_lists(known, value, _MERGE_KEYS[key])
        else:
            into[key] = deepcopy(value)


def _merges(key: str, custom: bool) -> bool:
    return key in _MERGE_KEYS and not custom


def _merge_lists(into: list[Manifest], changes: list[Manifest], key: str) -> None:
    for change in changes:
        same = [entry for entry in into if entry[key] == change[key]]
        if same:
            _merge(same[0], change, custom=False)
        else:
            into.append(deepcopy(change))


def _set_image(manifest: Manifest, image: Manifest) -> None:
    if manifest["kind"] != "Deployment":
        return
    pod = pod_of(manifest)
    for container in pod["containers"] + pod.get("initContainers", []):
        if container["image"] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"


def _hash_of(config_map: Manifest) -> str:
    # Kustomize means to take the name in, and looks for it where it is not.
    content = {"kind": "ConfigMap", "name": "", "data": config_map["data"]}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return digest[:10].translate(_HASH_LETTERS)


def _rename_references(manifest: Any, name: str, hashed: str) -> None:
    for node in _nodes(manifest):
        for key in ("configMapRef", "configMap", "configMapKeyRef"):
            if isinstance(reference := node.get(key), dict) and reference.get("name") == name:
                reference["name"] = hashed


def _nodes(value: Any) -> Iterator[Manifest]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)
