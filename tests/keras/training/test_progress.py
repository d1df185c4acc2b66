from __future__ import annotations

import io
import logging
import os
import pty
import re
import threading
from pathlib import Path

import pytest

from tests.keras.training.conftest import StopAtEpoch, Stopped, changed
from training.config import RunConfig
from training.data.dataset import Dataset
from training.fitting.progress import duration, progress
from training.fitting.run_directory import RunDirectory
from training.fitting.train import fit

pytestmark = pytest.mark.keras

LINE = re.compile(
    r"epoch (\d)/3  loss \d+\.\d{4}  accuracy \d\.\d{4}  val loss \d+\.\d{4}  "
    r"val accuracy \d\.\d{4}  learning rate \S+  \d+ images/s  (.+) left"
)


@pytest.fixture(scope="module")
def short(config: RunConfig) -> RunConfig:
    return changed(config, fit={"epochs": 3})


def test_without_a_terminal_each_epoch_is_one_line_in_the_log_and_nothing_else(
    short: RunConfig,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "training")
    stream = io.StringIO()
    watcher = progress(epochs=3, images=len(dataset.train), batch_size=32, stream=stream)

    fit(short, dataset, RunDirectory(tmp_path), observers=[watcher])

    lines = [LINE.fullmatch(record.getMessage()) for record in caplog.records]
    assert [line and line[1] for line in lines] == ["1", "2", "3"]
    assert lines[-1] is not None
    assert lines[-1][2] == "0 s"
    assert stream.getvalue() == ""
    assert capfd.readouterr() == ("", "")


class Terminal:
    """A pseudo-terminal that keeps what is written to it."""

    def __init__(self, columns: int) -> None:
        import fcntl
        import struct
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._parts: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:  # Linux' end of a pseudo-terminal
                return
            if not part:
                return
            self._parts.append(part)

    def finish(self) -> str:
        self.stream.close()
        self._reader.join(timeout=30)
        os.close(self._master)
        return b"".join(self._parts).decode()


def drawn(text: str) -> list[str]:
    """All lines that were on the screen at some time, without the control sequences."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text))
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_bars_fit_the_width_and_a_resumed_run_starts_at_its_epoch(
    columns: int, short: RunConfig, dataset: Dataset, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(Stopped):
        fit(short, dataset, run, observers=[StopAtEpoch(1)])
    terminal = Terminal(columns)
    watcher = progress(epochs=3, images=len(dataset.train), batch_size=32, stream=terminal.stream)

    fit(short, dataset, run, observers=[watcher])

    lines = drawn(terminal.finish())
    assert max(map(len, lines)) <= columns
    numbers = [int(found[1]) for line in lines if (found := re.match(r"run +(\d)/3 \|", line))]
    assert numbers[0] == 1
    assert numbers == sorted(numbers)
    assert numbers[-1] == 3
    assert any(
        re.match(
            r"epoch +2/3 \|.*\| [\d:]+ left, loss [\d.]+, accuracy [\d.]+, \d+ images/s$", line
        )
        for line in lines
    )
    assert re.search(r"\| 00:00 left, val loss [\d.]+, val accuracy [\d.]+$", lines[-1])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3780, "1 h 3 min"), (90061, "25 h 1 min")],
)
def test_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
