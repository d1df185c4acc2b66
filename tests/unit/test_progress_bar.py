"""The line that says how far long work is."""

import io

from app.progress_bar import ProgressBar
from tests.fakes import FakeClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_shows_share_rate_and_what_is_left() -> None:
    clock, terminal = FakeClock(), Terminal()
    bar = ProgressBar(200, terminal, clock=clock)
    clock.advance(10)
    bar.update(50, ", 2 broken")
    assert terminal.getvalue() == (
        "\r\x1b[K[######                  ]  25%  50/200  5/s  0:30 left, 2 broken"
    )


def test_bar_is_drawn_ten_times_a_second_at_most() -> None:
    clock, terminal = FakeClock(), Terminal()
    bar = ProgressBar(10, terminal, clock=clock)
    bar.update(1)
    assert terminal.getvalue() == ""
    clock.advance(0.11)
    bar.update(2)
    once = terminal.getvalue()
    assert "2/10" in once
    bar.update(3)
    assert terminal.getvalue() == once


def test_bar_is_taken_away_at_the_end() -> None:
    terminal = Terminal()
    ProgressBar(10, terminal).close()
    assert terminal.getvalue() == "\r\x1b[K"


def test_nothing_is_written_where_there_is_no_terminal_or_no_wish() -> None:
    clock, file, terminal = FakeClock(), io.StringIO(), Terminal()
    bars = [
        ProgressBar(10, file, clock=clock),
        ProgressBar(10, terminal, is_enabled=False, clock=clock),
    ]
    clock.advance(1)
    for bar in bars:
        bar.update(5)
        bar.close()
    assert file.getvalue() == terminal.getvalue() == ""


def test_more_than_was_expected_and_hours_are_shown_too() -> None:
    clock, terminal = FakeClock(), Terminal()
    bar = ProgressBar(100, terminal, clock=clock)
    clock.advance(3600)
    bar.update(50)
    assert "1:00:00 left" in terminal.getvalue()
    clock.advance(1)
    bar.update(120)
    assert "100%  120/100" in terminal.getvalue()
    assert terminal.getvalue().endswith("0:00 left")
