from __future__ import annotations

import pytest

from app.registry.version_policy import (
    All,
    Latest,
    Specific,
    VersionPolicy,
    aspired_versions,
    parse_models_setting,
    wanted_versions,
)


@pytest.mark.parametrize(
    ("policy", "on_disk", "failed", "aspired"),
    [
        pytest.param(Latest(), (1, 3, 2), (), (3,), id="latest takes the highest"),
        pytest.param(Latest(2), (9, 10, 8), (), (10, 9), id="latest counts as numbers do"),
        pytest.param(Latest(5), (1, 2), (), (2, 1), id="latest takes all where there are fewer"),
        pytest.param(Latest(), (), (), (), id="latest of nothing is nothing"),
        pytest.param(Latest(), (1, 2, 3), (3,), (2,), id="an older one replaces a failed one"),
        pytest.param(Latest(2), (1, 2, 3), (2,), (3, 1), id="only the failed one is replaced"),
        pytest.param(Latest(), (1, 2), (1, 2), (), id="when all failed nothing is left"),
        pytest.param(Specific((1, 3)), (1, 2, 3), (), (3, 1), id="specific takes those named"),
        pytest.param(Specific((7,)), (1, 2), (), (7,), id="specific wants what is not there"),
        pytest.param(Specific((3,)), (1, 2, 3), (3,), (), id="nothing stands in for a named one"),
        pytest.param(Specific((2, 2)), (2,), (), (2,), id="a version named twice is one"),
        pytest.param(All(), (1, 3, 2), (), (3, 2, 1), id="all takes all"),
        pytest.param(All(), (1, 3, 2), (3,), (2, 1), id="all leaves out the failed"),
    ],
)
def test_aspired_versions(
    policy: VersionPolicy,
    on_disk: tuple[int, ...],
    failed: tuple[int, ...],
    aspired: tuple[int, ...],
) -> None:
    assert aspired_versions(policy, on_disk, failed=failed) == aspired


@pytest.mark.parametrize(
    ("text", "policies"),
    [
        pytest.param("cifar10", {"cifar10": Latest()}, id="a name means its latest version"),
        pytest.param("x:3", {"x": Specific((3,))}, id="a number means that version"),
        pytest.param("x:latest(2)", {"x": Latest(2)}, id="latest is given its count"),
        pytest.param("x:all", {"x": All()}, id="all is all"),
        pytest.param("x:3,x:5,x:3", {"x": Specific((3, 5))}, id="versions of a model add up"),
        pytest.param(
            "cifar10, fashion_mnist:latest(2), x:3",
            {"cifar10": Latest(), "fashion_mnist": Latest(2), "x": Specific((3,))},
            id="entries are separated by commas",
        ),
        pytest.param(" a : latest( 2 ) ,b ", {"a": Latest(2), "b": Latest()}, id="spaces are free"),
    ],
)
def test_models_setting_is_parsed(text: str, policies: dict[str, VersionPolicy]) -> None:
    parsed = parse_models_setting(text)

    assert parsed == policies
    assert list(parsed) == list(policies)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "'' has an empty entry", id="nothing"),
        pytest.param("a,,b", "'a,,b' has an empty entry", id="nothing between commas"),
        pytest.param("a,", "'a,' has an empty entry", id="nothing after a comma"),
        pytest.param("Big", "'Big' cannot name a model", id="a name with capitals"),
        pytest.param("../a", "'../a' cannot name a model", id="a path"),
        pytest.param(":3", "'' cannot name a model", id="no name"),
        pytest.param("a:", "'a:' must be name, name:version", id="nothing after the colon"),
        pytest.param("a:0", "'a:0' must be name, name:version", id="version 0"),
        pytest.param("a:007", "'a:007' must be name, name:version", id="leading zeros"),
        pytest.param("a:٣", "must be name, name:version", id="other digits"),
        pytest.param("a:newest", "'a:newest' must be", id="an unknown policy"),
        pytest.param("a:latest", "'a:latest' must be", id="latest without a count"),
        pytest.param("a:latest(0)", "must be", id="latest of none"),
        pytest.param("a:1:2", "'a:1:2' must be", id="two colons"),
        pytest.param("a,a", "'a' is named twice", id="a name twice"),
        pytest.param("a:3,a", "'a' is named twice", id="a version and the latest"),
    ],
)
def test_wrong_models_setting_is_refused_with_setting_and_entry(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^KERASERVE_MODELS: ") as caught:
        parse_models_setting(text)
    assert problem in str(caught.value)


def test_policy_that_serves_nothing_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"latest\(0\) serves nothing"):
        Latest(0)
    with pytest.raises(ValueError, match=r"specific\(\[\]\) serves nothing"):
        Specific(())


@pytest.mark.parametrize(
    ("policy", "on_disk", "failed", "pinned", "labelled", "wanted"),
    [
        pytest.param(Latest(), [1, 2, 3], [], None, [], (3,), id="no labels"),
        pytest.param(Latest(), [1, 2, 3], [], 2, [], (3, 2), id="pinned beside the newest"),
        pytest.param(Latest(), [1, 2, 3], [], 3, [], (3,), id="pinned is the newest"),
        pytest.param(Latest(), [1, 2, 3], [2], 2, [], (3, 1), id="older one for a broken pin"),
        pytest.param(Latest(), [1, 3], [], 2, [], (3, 1), id="older one for a missing pin"),
        pytest.param(Latest(), [3], [], 2, [], (3, 2), id="nothing older: the pin fails visibly"),
        pytest.param(Latest(), [3], [2], 2, [], (3,), id="and is not tried for ever"),
        pytest.param(Latest(), [1, 2, 3], [], None, [1], (3, 1), id="labelled"),
        pytest.param(Latest(), [1, 2, 3], [1], None, [1], (3,), id="nothing for a broken label"),
        pytest.param(Latest(), [1, 2, 3], [], None, [9], (3,), id="label of nothing"),
        pytest.param(Specific((2,)), [1, 2, 3], [], 1, [3], (3, 2, 1), id="beside named ones"),
        pytest.param(All(), [1, 2], [], 2, [1], (2, 1), id="all are wanted anyway"),
        pytest.param(Latest(), [], [], None, [2], (), id="empty store"),
    ],
)
def test_labels_want_versions_beside_those_of_the_policy(
    policy: VersionPolicy,
    on_disk: list[int],
    failed: list[int],
    pinned: int | None,
    labelled: list[int],
    wanted: tuple[int, ...],
) -> None:
    found = wanted_versions(policy, on_disk, failed=failed, pinned=pinned, labelled=labelled)

    assert found == wanted
