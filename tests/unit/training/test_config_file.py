from __future__ import annotations

from pathlib import Path

import pytest

from training.config_file import ConfigError, built_in_names, load_config

DOCUMENT = """
name = "tiny"
[data]
dataset = "cifar10"
[architecture]
name = "cifar10_cnn"
[fit]
epochs = 3
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "run.toml"
    path.write_text(DOCUMENT, encoding="utf-8")
    return str(path)


def test_built_in_names_are_taken_instead_of_a_path() -> None:
    assert {"cifar10", "fashion_mnist"} <= set(built_in_names())
    assert load_config("cifar10").architecture.name == "cifar10_cnn"


def test_override_counts_in_place_of_the_file(source: str) -> None:
    assert load_config(source, ["fit.epochs=5"]).fit.epochs == 5


def test_last_override_of_a_key_counts(source: str) -> None:
    assert load_config(source, ["fit.epochs=5", "fit.epochs=6"]).fit.epochs == 6


@pytest.mark.parametrize(
    ("word", "value"),
    [
        pytest.param("architecture.options.dropout=0.5", 0.5, id="a number"),
        pytest.param("architecture.options.dropout=true", True, id="a truth value"),
        pytest.param('architecture.options.dropout="0.5"', "0.5", id="a quoted string"),
        pytest.param("architecture.options.dropout=half", "half", id="a bare word is a string"),
        pytest.param("architecture.options.dropout = 1e-1", 0.1, id="spaces around the sign"),
        pytest.param("architecture.options.dropout=a=b", "a=b", id="a second sign is the value's"),
    ],
)
def test_override_is_read_as_toml(word: str, value: object, source: str) -> None:
    assert load_config(source, [word]).architecture.options == {"dropout": value}


def test_override_adds_a_section_that_the_file_lacks(source: str) -> None:
    assert load_config(source, ["augmentation.flip=true"]).augmentation.flip


def test_override_replaces_a_whole_table(source: str) -> None:
    config = load_config(source, ['data={dataset="images", input={height=8, width=9, channels=1}}'])

    assert config.data.input is not None
    assert config.data.input.width == 9


@pytest.mark.parametrize(
    ("word", "message"),
    [
        pytest.param("fit.epochs", r"--set fit.epochs: must be key=value", id="no sign"),
        pytest.param("=5", r"--set =5: must be key=value", id="no key"),
        pytest.param("fit..epochs=5", r"--set fit..epochs=5: must be key=value", id="empty part"),
        pytest.param(
            "name.first=x", r"--set name.first=x: name is a value, not a section", id="of a value"
        ),
        pytest.param("fit.epoch=5", r"fit.epoch: Extra inputs are not permitted", id="unknown key"),
        pytest.param("fit.epochs=many", r"fit.epochs: .*\(got 'many'\)", id="wrong type"),
        pytest.param("fit.epochs=0", r"fit.epochs: .*\(got 0\)", id="out of range"),
        pytest.param("fit=5", r"fit: .*\(got 5\)", id="a value for a section"),
    ],
)
def test_override_is_refused_in_one_line_for(word: str, message: str, source: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(source, [word])

    assert "\n" not in str(caught.value)


def test_overrides_decide_the_fingerprint_like_the_file(source: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(DOCUMENT.replace("epochs = 3", "epochs = 5"), encoding="utf-8")

    assert load_config(source, ["fit.epochs=5"]).fingerprint == load_config(str(other)).fingerprint
