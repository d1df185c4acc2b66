"""Text in columns, for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], *, left: Collection[int]) -> list[str]:
    """Return one line per row, cells under each other, two spaces between them.

    Args:
        rows: Cells, equally many in each row; the first row is the head.
        left: Numbers of the columns that are aligned to the left: words. The others are aligned to
            the right: figures.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
