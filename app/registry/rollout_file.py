"""``rollouts.json``: shadow and canary of the models, beside ``labels.json``.

What an administrator asked for, and which canary has ended and why, so that neither is forgotten at
a restart; servers that share a store share it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter

from app.artifacts.manifest import NAME_PATTERN
from app.errors import ArtifactError
from app.json_file import JsonFile
from app.registry.model_names import require_model_name
from app.registry.rollout_plan import NO_ROLLOUT, RolloutPlan
from app.registry.store_files import within_store

ROLLOUTS_FILE = "rollouts.json"

_CONTENT: TypeAdapter[dict[str, RolloutPlan]] = TypeAdapter(
    dict[Annotated[str, StringConstraints(pattern=NAME_PATTERN)], RolloutPlan]
)


def read_rollouts(root: Path) -> dict[str, RolloutPlan]:
    """Read the plans of a store, by model; without the file there are none.

    Raises:
        ArtifactError: It cannot be read, or is something else.
    """
    return _file(root).read() or {}


def change_rollout(
    root: Path, name: str, change: Callable[[RolloutPlan], RolloutPlan]
) -> RolloutPlan:
    """Replace the plan of a model by what ``change`` makes of it; return that.

    Several processes may do so at once: each reads what the one before has written.

    Raises:
        ArtifactError: The name cannot be a model's, or the file cannot be read or written; then
            nothing has changed.
    """
    require_model_name(name)
    file = _file(root)
    with file.locked():
        plans = file.read() or {}
        before = plans.get(name, NO_ROLLOUT)
        plans[name] = change(before)
        if plans[name] != before:
            file.write(
                {
                    each: plan.model_dump(mode="json", exclude_none=True)
                    for each, plan in sorted(plans.items())
                    if plan != NO_ROLLOUT
                }
            )
    return plans[name]


def _file(root: Path) -> JsonFile[dict[str, RolloutPlan]]:
    return JsonFile(within_store(root, ROLLOUTS_FILE), _CONTENT, ArtifactError)
