from __future__ import annotations

from pathlib import Path

import pytest

from app.types import InputSpec
from training.config import BUILT_IN, ConfigError, RunConfig, load_config

MINIMAL = """
name = "tiny"
[data]
dataset = "cifar10"
[architecture]
name = "cifar10_cnn"
[fit]
epochs = 3
"""


def write(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_fill_what_a_file_leaves_out(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))

    assert config.fit.batch_size == 128
    assert config.publish.samples == "labelled"
    assert not config.augmentation.flip


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.toml")))
def test_built_in_configurations_are_valid_and_carry_no_data_set_pictures(name: str) -> None:
    config = load_config(name)

    assert config.name == name
    assert config.publish.samples == "generated"


@pytest.mark.parametrize(
    ("name", "fingerprint"), [("cifar10", "e46de3c3"), ("fashion_mnist", "b8f526e6")]
)
def test_fingerprint_stays_so_that_an_update_does_not_orphan_unfinished_runs(
    name: str, fingerprint: str
) -> None:
    assert load_config(name).fingerprint == fingerprint


def test_fingerprint_follows_what_decides_the_weights_only(tmp_path: Path) -> None:
    before = load_config(write(tmp_path, MINIMAL)).fingerprint

    longer = MINIMAL.replace("epochs = 3", "epochs = 4")
    published = MINIMAL + '[gate]\nmin_test_accuracy = 0.1\n[publish]\nsamples = "generated"\n'

    assert load_config(write(tmp_path, longer)).fingerprint != before
    assert load_config(write(tmp_path, published)).fingerprint == before


def test_own_images_say_what_the_network_takes(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        'dataset = "cifar10"',
        'dataset = "images"\ninput = { height = 24, width = 20, channels = 1, resize = "pad" }',
    )

    config = load_config(write(tmp_path, text))

    assert config.data.input is not None
    assert config.data.input.spec == InputSpec(24, 20, 1, "pad", "bilinear")


REFUSED = {
    "unknown key": ("epochs = 3", "epochs = 3\nepoch = 4", "fit.epoch: Extra inputs"),
    "value out of range": ("epochs = 3", "epochs = 0", "fit.epochs: Input should be greater"),
    "missing key": ('name = "cifar10_cnn"', "", "architecture.name: Field required"),
    "name that is no folder": ('"tiny"', '"../tiny"', "name: String should match pattern"),
    "own images without a size": ('"cifar10"', '"images"', "data: .*data.input belongs"),
    "size of a public set": (
        'dataset = "cifar10"',
        'dataset = "cifar10"\ninput = { height = 8, width = 8 }',
        "data: .*data.input belongs",
    ),
    "warm-up of the whole run": (
        "[fit]",
        "[schedule]\nwarmup_epochs = 3\n[fit]",
        "schedule.warmup_epochs is 3, must be below fit.epochs, 3",
    ),
    "decay without effect": (
        "[fit]",
        "[optimizer]\nweight_decay = 0.1\n[fit]",
        "optimizer.weight_decay has no effect but with adamw",
    ),
    "broken TOML": ("[fit]", "[fit", "run.toml is no TOML"),
}


@pytest.mark.parametrize(("old", "new", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_configuration_is_refused_in_one_line_for(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    source = write(tmp_path, MINIMAL.replace(old, new))

    with pytest.raises(ConfigError, match=message) as caught:
        load_config(source)

    assert "\n" not in str(caught.value)


def test_unknown_configuration_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no configuration 'mnist': .* cifar10, fashion_mnist"):
        load_config("mnist")


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"run.toml is no TOML"):
        load_config(str(tmp_path / "run.toml"))


def test_resolved_configuration_is_plain_json(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))

    assert RunConfig.model_validate(config.model_dump(mode="json")) == config
