"""What an administrator asked of one model, beside its policy and its labels."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Wishes:
    """Kept in memory: they hold until the opposite is asked for, or the process ends.

    Attributes:
        loaded: Versions to serve beside those of the policy.
        prepared: Versions to serve for a label that will be theirs once they do.
        unloaded: Versions not to serve whatever the policy says.
        is_off: Whether none of the model's versions is to be served.
    """

    loaded: set[int] = field(default_factory=set)
    prepared: set[int] = field(default_factory=set)
    unloaded: set[int] = field(default_factory=set)
    is_off: bool = False

    def load(self, version: int | None) -> bool:
        """Serve a version, or with None the model as its policy says; return whether it is news."""
        before = (self.is_off, set(self.loaded), set(self.unloaded))
        self.is_off = False
        if version is None:
            self.unloaded.clear()
        else:
            self.unloaded.discard(version)
            self.loaded.add(version)
        return before != (self.is_off, self.loaded, self.unloaded)

    def unload(self, version: int | None) -> bool:
        """Stop serving a version, or with None the model; return whether it is news."""
        before = (self.is_off, set(self.loaded), set(self.unloaded))
        if version is None:
            self.is_off = True
        else:
            self.loaded.discard(version)
            self.unloaded.add(version)
        return before != (self.is_off, self.loaded, self.unloaded)
