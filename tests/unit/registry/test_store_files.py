from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import ArtifactError
from app.registry.labels import read_labels, set_label
from app.registry.rollout_file import change_rollout, read_rollouts


def set_a_label(store: Path) -> object:
    return set_label(store, "cifar10", "beta", 1)


def keep_the_plan(store: Path) -> object:
    return change_rollout(store, "cifar10", lambda plan: plan)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("labels.json", read_labels),
        ("labels.json", set_a_label),
        ("rollouts.json", read_rollouts),
        ("rollouts.json", keep_the_plan),
    ],
)
def test_link_out_of_the_store_is_neither_read_nor_written_through(
    tmp_path: Path, name: str, use: Callable[[Path], object]
) -> None:
    store, secret = tmp_path / "store", tmp_path / "secret.json"
    store.mkdir()
    secret.write_text("{}")
    (store / name).symlink_to(secret)

    with pytest.raises(ArtifactError, match=f"{name} is a link that leads out of the store"):
        use(store)
    assert secret.read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.json", "store"]


def test_link_within_the_store_is_followed_also_where_the_store_is_one(tmp_path: Path) -> None:
    (tmp_path / "disk" / "..data").mkdir(parents=True)
    (tmp_path / "disk" / "..data" / "labels.json").write_text('{"cifar10": {"beta": 1}}')
    (tmp_path / "disk" / "labels.json").symlink_to("..data/labels.json")
    (tmp_path / "store").symlink_to("disk")

    assert read_labels(tmp_path / "store") == {"cifar10": {"beta": 1}}
    set_label(tmp_path / "store", "cifar10", "beta", 2)
    assert read_labels(tmp_path / "disk") == {"cifar10": {"beta": 2}}
    assert (tmp_path / "disk" / "labels.json").is_symlink()
