"""What all parts of a manifest have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Immutable, and without room for names that nobody knows, or numbers that JSON does not."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
