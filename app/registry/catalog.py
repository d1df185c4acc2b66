"""The models with their versions, for those who ask: which one answers, and how all stand."""

from __future__ import annotations

from pathlib import Path
from typing import Generic

from app.errors import (
    MalformedRequestError,
    ServableNotFoundError,
    ServableNotReadyError,
    ServingError,
)
from app.registry.loader import L
from app.registry.rollout_plan import RolloutPlan
from app.registry.status import ModelStatus
from app.registry.version_table import VersionTable


class ModelCatalog(Generic[L]):
    """Looks up and tells, never waits; on the event loop of the manager that fills it.

    Attributes:
        default_model: The model that answers where none is named (KERASERVE_DEFAULT_MODEL).
        tables: The books of the models, by name; written by the manager.
        fault: Why no model is known, or None; written by the manager.
    """

    def __init__(self, default_model: str, root: Path) -> None:
        """Begin without any model; ``root`` is the store, for messages."""
        self.default_model = default_model
        self.tables: dict[str, VersionTable[L]] = {}
        self.fault: str | None = "loading has not begun"
        self._root = root

    def resolve(
        self, name: str | None = None, version: int | None = None, label: str | None = None
    ) -> L:
        """Return what takes the traffic of a version.

        Args:
            name: The model; None for the default model.
            version: The version; None for the default version.
            label: A label instead of a version.

        Raises:
            MalformedRequestError: Both a version and a label are given.
            ServableNotFoundError: There is no such model, version or label.
            ServableNotReadyError: It is known, but not AVAILABLE.
        """
        if version is not None and label is not None:
            raise MalformedRequestError(f"version {version} and label {label!r}: give one of them")
        return self.table(self.default_model if name is None else name).find(version, label)

    def table(self, name: str) -> VersionTable[L]:
        """Return the book of one model, for those who change what is wanted of it.

        Raises:
            ServableNotFoundError: There is no such model.
            ServableNotReadyError: The store has not been looked at.
        """
        table = self.tables.get(name)
        if table is None:
            raise self._unknown_model(name)
        return table

    def plan_of(self, name: str | None) -> RolloutPlan | None:
        """Return what the traffic of a model is meant to do; None for an unknown model."""
        table = self.tables.get(self.default_model if name is None else name)
        return None if table is None else table.plan

    def _unknown_model(self, name: str) -> ServingError:
        if self.fault is not None:
            return ServableNotReadyError(f"no model is known: {self.fault}")
        known = ", ".join(sorted(self.tables)) or "none"
        return ServableNotFoundError(
            f"there is no model {name!r}; there is: {known}", code="model_not_found"
        )

    def statuses(self) -> tuple[ModelStatus[L], ...]:
        """Return a snapshot of all models that are, or are to be, served."""
        return tuple(table.status() for table in self.tables.values())

    def unready_reasons(self) -> list[str]:
        """Return why requests cannot be answered yet; empty if every model can answer.

        Never empty while no model is known: nothing to serve is no reason to be ready.
        """
        if not self.tables:
            return [self.fault or f"no model found in {self._root} (KERASERVE_MODEL_DIR)"]
        unready = (t for t in self.tables.values() if t.is_required and not t.is_ready)
        return [f"{table.name}: {table.why_unready()}" for table in unready]
