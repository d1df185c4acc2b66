"""Which version of a store a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.commands.stored_version import find_version
from app.registry.labels import set_label
from app.settings import Settings, SettingsError
from tests.factories.versions import make_version


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for version in (1, 2, 3):
        make_version(tmp_path, "pets", version)
    return Settings(model_dir=tmp_path, default_model="pets", _env_file=None)


def test_without_a_word_it_is_what_a_server_takes(settings: Settings) -> None:
    assert str(find_version(settings).id) == "pets:3"
    set_label(settings.model_dir, "pets", "stable", 2)
    assert str(find_version(settings).id) == "pets:2"


def test_number_or_label_says_which(settings: Settings) -> None:
    set_label(settings.model_dir, "pets", "beta", 1)
    assert str(find_version(settings, "pets", "3").id) == "pets:3"
    assert str(find_version(settings, "pets", label="beta").id) == "pets:1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "cars"}, "has no model cars; it has: pets"),
        ({"number": "9"}, "has no version 9 of pets; it has: 3, 2, 1"),
        ({"label": "beta"}, "has no label beta of pets; it has: none"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    settings: Settings, arguments: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        find_version(settings, **arguments)


def test_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings = Settings(model_dir=tmp_path / "none", _env_file=None)
    with pytest.raises(SettingsError, match=r"is no folder \(KERASERVE_MODEL_DIR\)"):
        find_version(settings)
