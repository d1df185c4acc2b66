"""The tables of a soak in a document, between two marks."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- make soak: begin -->", "<!-- make soak: end -->"


def replace_section(path: Path, text: str) -> None:
    """Put ``text`` between the marks of a document.

    Raises:
        ValueError: The document has no marks.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} with an {END} behind it")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
