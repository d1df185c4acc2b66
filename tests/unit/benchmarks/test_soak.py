"""What a soak sends, and how it judges what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak.census import Census
from benchmarks.soak.clients import Tally
from benchmarks.soak.document import BEGIN, END, replace_section
from benchmarks.soak.findings import Findings
from benchmarks.soak.mix import Kind, kinds

EARLY = Census(resident_mib=200.0, threads=10, descriptors=20, tasks=4)
KIND = Kind("an image", 1, [b""], frozenset({200, 429}))


def findings(late: Census = EARLY) -> Findings:
    tally = Tally()
    tally.answer(KIND, 200, b"")
    tally.answer(KIND, 429, b"")
    return Findings(
        tally=tally, early=EARLY, late=late, seconds=1.0, exit_code=0, cold_start_s=2, restart_s=2
    )


def test_soak_in_which_nothing_happened_is_without_fault() -> None:
    found = findings()
    assert found.faults() == []
    assert ("requests", "2") in found.summary().rows
    assert found.answers().rows == [("an image", "2", "200: 1, 429: 1")]


@pytest.mark.parametrize(
    ("late", "fault"),
    [
        (Census(211.0, 10, 20, 4), "memory grew to 1.055 of 200 MiB, at most 1.05"),
        (Census(200.0, 13, 20, 4), "13 threads, 10 before"),
        (Census(200.0, 10, 21, 4), "21 descriptors, 20 before"),
        (Census(200.0, 10, 20, 7), "7 tasks, 4 before"),
    ],
)
def test_whatever_grows_is_a_fault(late: Census, fault: str) -> None:
    assert findings(late).faults() == [fault]


def test_wrong_and_missing_answers_are_faults_with_an_example() -> None:
    found = findings()
    found.tally.answer(KIND, 500, b"internal")
    found.tally.lose(KIND, ConnectionResetError("reset"))
    found.in_flight = 1.0
    found.exit_code = 1
    found.restart_s = 4.1
    assert len(found.faults()) == 5
    assert found.tally.examples == [
        "an image: 500 internal", "an image: ConnectionResetError('reset')",
    ]  # fmt: skip
    assert found.tally.sent == 4


def test_every_kind_of_request_is_sent_and_none_may_be_answered_with_5xx() -> None:
    every = kinds("cifar10", 1024)
    assert len({kind.name for kind in every}) == len(every)
    for kind in every:
        assert kind.messages
        assert all(message for message in kind.messages)
        assert max(kind.right) < 500


def test_tables_take_the_place_of_those_before(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    replace_section(document, "new")
    assert document.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        replace_section(Path(__file__).with_name("__init__.py"), "new")
