from __future__ import annotations

from pathlib import Path

import pytest

from app.types import InputSpec
from training.config import RunConfig
from training.config_file import ConfigError, built_in_names, load_config

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


@pytest.mark.parametrize("name", built_in_names())
def test_built_in_configurations_are_valid(name: str) -> None:
    assert load_config(name).name == name


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_configurations_of_the_shipped_models_carry_no_data_set_pictures(name: str) -> None:
    assert load_config(name).publish.samples == "generated"


EVERY_SECTION = """
[augmentation]
flip = true
mixup_alpha = 0.2
[optimizer]
name = "sgd"
average_momentum = 0.999
[schedule]
name = "plateau"
"""


@pytest.mark.parametrize(
    ("more", "fingerprint"),
    [
        pytest.param("", "e647a44b", id="defaults"),
        pytest.param(EVERY_SECTION, "29d98847", id="every section"),
    ],
)
def test_fingerprint_stays_so_that_an_update_does_not_orphan_unfinished_runs(
    more: str, fingerprint: str, tmp_path: Path
) -> None:
    assert load_config(write(tmp_path, MINIMAL + more)).fingerprint == fingerprint


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
        '[schedule]\nname = "cosine"\nwarmup_epochs = 3\n[fit]',
        "schedule.warmup_epochs is 3, must be below fit.epochs, 3",
    ),
    "warm-up of another schedule": (
        "[fit]",
        '[schedule]\nname = "plateau"\nwarmup_epochs = 1\n[fit]',
        'schedule.warmup_epochs has no effect but with name = "cosine"',
    ),
    "backbone frozen to the end": (
        "epochs = 3",
        "epochs = 3\nfrozen_epochs = 3",
        "fit.frozen_epochs is 3 and fit.plain_epochs is 0, together they must be below .*, 3",
    ),
    "plain epochs after a backbone that is frozen till then": (
        "epochs = 3",
        "epochs = 3\nfrozen_epochs = 1\nplain_epochs = 2",
        "fit.frozen_epochs is 1 and fit.plain_epochs is 2, together they must be below .*, 3",
    ),
    "plain epochs of a run that may stop before them": (
        "epochs = 3",
        "epochs = 3\nplain_epochs = 1\nearly_stopping_epochs = 2",
        "cannot be combined with fit.early_stopping_epochs",
    ),
    "share without a teacher": (
        "[fit]",
        "[distillation]\nshare = 0.5\n[fit]",
        "distillation has no effect without distillation.teacher",
    ),
    "teacher without a number": (
        "[fit]",
        '[distillation]\nteacher = "large"\n[fit]',
        "distillation.teacher: String should match pattern",
    ),
    "decay without effect": (
        "[fit]",
        "[optimizer]\nweight_decay = 0.1\n[fit]",
        "optimizer.weight_decay has no effect but with sgd and adamw",
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
