"""Which versions of a model are to be served. Pure: no disk, no clock, no state."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.artifacts.manifest import NAME_PATTERN

SETTING = "KERASERVE_MODELS"


@dataclass(frozen=True, slots=True)
class Latest:
    """The ``count`` highest versions."""

    count: int = 1

    def __post_init__(self) -> None:
        """Refuse to serve nothing."""
        if self.count < 1:
            raise ValueError(f"latest({self.count}) serves nothing; at least latest(1)")


@dataclass(frozen=True, slots=True)
class Specific:
    """Exactly these versions, whether they are there or not: a missing one fails visibly."""

    versions: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse to serve nothing."""
        if not self.versions:
            raise ValueError("specific([]) serves nothing; at least one version")


@dataclass(frozen=True, slots=True)
class All:
    """Every version on disk."""


VersionPolicy: TypeAlias = Latest | Specific | All


def aspired_versions(
    policy: VersionPolicy, on_disk: Collection[int], *, failed: Collection[int] = ()
) -> tuple[int, ...]:
    """Return the versions to be served, newest first.

    Args:
        policy: What is asked for.
        on_disk: The versions that the store has, in any order.
        failed: Versions known to be broken. They are left out, so that under ``Latest`` the next
            older one takes the place; no other version stands in for one that ``Specific`` names.
    """
    candidates = policy.versions if isinstance(policy, Specific) else on_disk
    newest_first = sorted(set(candidates) - set(failed), reverse=True)
    if isinstance(policy, Latest):
        return tuple(newest_first[: policy.count])
    return tuple(newest_first)


def wanted_versions(
    policy: VersionPolicy,
    on_disk: Collection[int],
    *,
    failed: Collection[int] = (),
    pinned: int | None = None,
    labelled: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the versions to be served by policy and labels, newest first.

    Args:
        policy: What is asked for.
        on_disk: The versions that the store has, in any order.
        failed: Versions known to be broken, which are left out.
        pinned: The version that is to be the default; if it is broken or gone, the newest good one
            below it stands in, never one above it: somebody may have rolled back from that.
        labelled: Versions that other labels point at; nothing stands in for them.
    """
    wanted = set(aspired_versions(policy, on_disk, failed=failed))
    good = set(on_disk) - set(failed)
    if pinned is not None:
        wanted |= {max((version for version in good if version <= pinned), default=pinned)}
    wanted |= good & set(labelled)
    return tuple(sorted(wanted - set(failed), reverse=True))


def class_difference(serving: Sequence[str], coming: Sequence[str]) -> str | None:
    """Say how the classes of a version differ from those that serve; None where they do not."""
    if list(serving) == list(coming):
        return None
    came = [name for name in coming if name not in serving]
    went = [name for name in serving if name not in coming]
    differences = [f"it has {', '.join(came)} in addition"] if came else []
    differences += [f"it lacks {', '.join(went)}"] if went else []
    return " and ".join(differences) or "they are in another order"


def parse_models_setting(text: str) -> dict[str, VersionPolicy]:
    """Parse KERASERVE_MODELS: ``cifar10, fashion_mnist:latest(2), x:3``.

    A name alone means ``latest(1)``; ``name:all`` serves every version. Several versions of one
    model are several entries (``x:3, x:5``); other repetitions are refused.

    Returns:
        Policies by model name, in the order of the text.

    Raises:
        ValueError: The text names no model, or an entry is not as above; says which and why.
    """
    policies: dict[str, VersionPolicy] = {}
    for entry in text.split(","):
        name, policy = _parse_entry(entry.strip(), text)
        earlier = policies.get(name)
        if isinstance(earlier, Specific) and isinstance(policy, Specific):
            policy = Specific(tuple(dict.fromkeys(earlier.versions + policy.versions)))
        elif earlier is not None:
            raise ValueError(f"{SETTING}: {name!r} is named twice with different policies")
        policies[name] = policy
    return policies


def _parse_entry(entry: str, text: str) -> tuple[str, VersionPolicy]:
    if not entry:
        raise ValueError(f"{SETTING}: {text!r} has an empty entry; leave it unset for all models")
    name, colon, rest = (part.strip() for part in entry.partition(":"))
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"{SETTING}: {name!r} cannot name a model, it must match {NAME_PATTERN}")
    return name, _parse_policy(rest, entry) if colon else Latest()


def _parse_policy(text: str, entry: str) -> VersionPolicy:
    if text == "all":
        return All()
    if match := re.fullmatch(r"latest\(\s*([1-9][0-9]{0,17})\s*\)", text):
        return Latest(int(match[1]))
    if re.fullmatch(r"[1-9][0-9]{0,17}", text):
        return Specific((int(text),))
    raise ValueError(
        f"{SETTING}: {entry!r} must be name, name:version, name:latest(n) or name:all, "
        "with whole numbers from 1"
    )
