"""Which version of the store a command means."""

from __future__ import annotations

from app.artifacts.checksums import verify_files
from app.registry.labels import read_labels
from app.registry.store import ModelStore, StoredVersion
from app.settings import ENV_PREFIX, Settings, SettingsError
from app.types import ServableId


def find_version(
    settings: Settings,
    name: str | None = None,
    number: str | None = None,
    label: str = "stable",
) -> StoredVersion:
    """Return a version that is whole: of those that are not named, what a server would take.

    Args:
        settings: For the store, and the model that is meant by none.
        name: Of the model.
        number: Of the version, as it is written.
        label: In place of it; only ``stable`` may point nowhere, which means the newest one.

    Raises:
        SettingsError: There is no such version; says which ones there are.
        ArtifactError: It is damaged, or not signed as it must be.
    """
    root = settings.model_dir
    if not root.is_dir():
        raise SettingsError(f"the model store {root} is no folder ({ENV_PREFIX}MODEL_DIR)")
    name = name or settings.default_model
    store = ModelStore(root, settings.trust_policy())
    versions = store.versions(name)
    known = ", ".join(map(str, versions)) or "none"
    if not versions:
        models = ", ".join(store.models()) or "none"
        raise SettingsError(f"{root} has no model {name}; it has: {models}")
    labels = read_labels(root).get(name, {})
    if not number and label != "stable" and label not in labels:
        has = ", ".join(labels) or "none"
        raise SettingsError(f"{root} has no label {label} of {name}; it has: {has}")
    wanted = number or str(labels.get(label, versions[0]))
    if wanted not in map(str, versions):
        raise SettingsError(f"{root} has no version {wanted} of {name}; it has: {known}")
    version = store.locate(ServableId(name, int(wanted)))
    verify_files(version.folder, store.read(version.id))
    return version
