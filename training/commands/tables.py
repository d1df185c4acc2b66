"""Text in columns, for a terminal of 80 to 120 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100
"""Longer running text is wrapped."""


def columns(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Return one line per row, cells under each other.

    Args:
        rows: Cells, equally many in each row.
        right: Numbers of the columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_right = set(right)
    return [
        "  ".join(
            cell.rjust(width) if number in to_right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def section(title: str, facts: Iterable[tuple[str, str]]) -> list[str]:
    """Return a title and, indented below it, names with their texts; long texts are wrapped."""
    facts = list(facts)
    width = max((len(name) for name, _ in facts), default=0)
    lines = [title]
    for name, text in facts:
        first = f"  {name.ljust(width)}  "
        wrapped = textwrap.wrap(
            text,
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += wrapped or [first.rstrip()]
    return lines


def size_text(size_bytes: int) -> str:
    """Return e.g. ``21.3 MB``; 1 MB is 1,000,000 bytes, as disks count."""
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"
