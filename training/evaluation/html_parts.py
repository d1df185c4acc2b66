"""Pieces of HTML: tables, pictures and escaped text."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

Row = tuple[str, Sequence[str]]
"""Name and cells of a line."""


def table(
    rows: Iterable[Row],
    *,
    head: Sequence[str] = (),
    kind: str,
    text_column: int | None = None,
    summary: Iterable[Row] = (),
) -> str:
    """Return a table.

    Args:
        rows: Its lines.
        head: Titles of the columns, that of the names too.
        kind: Class of the table in the style sheet.
        text_column: The one that holds words, counted from 0.
        summary: More lines, set apart.
    """

    def line(row: Row, mark: str = "") -> str:
        name, cells = row
        return (
            f'<tr{mark}><th scope="row">{escaped(name)}</th>'
            + "".join(
                f"<td{_class(column == text_column)}>{escaped(cell)}</td>"
                for column, cell in enumerate(cells, start=1)
            )
            + "</tr>"
        )

    lines = [line(row) for row in rows]
    lines += [line(row, ' class="summary"') for row in summary]
    return framed(head, "\n".join(lines), kind, text_column)


def framed(head: Sequence[str], body: str, kind: str, text_column: int | None = None) -> str:
    """Return a table around lines that are HTML already."""
    titles = "".join(
        f'<th scope="col"{_class(column == text_column)}>{escaped(title)}</th>'
        for column, title in enumerate(head)
    )
    top = f"<thead><tr>{titles}</tr></thead>\n" if head else ""
    return f'<div class="wide"><table class="{kind}">{top}<tbody>{body}</tbody></table></div>'


def _class(is_text: bool) -> str:
    return ' class="text"' if is_text else ""


def embedded(title: str, png: bytes) -> str:
    """Return a picture that is part of the page."""
    data = base64.b64encode(png).decode("ascii")
    return f'<figure><img alt="{escaped(title)}" src="data:image/png;base64,{data}"></figure>'


def escaped(value: str) -> str:
    """Return text that means itself, in an element as in an attribute."""
    return html.escape(value, quote=True)
