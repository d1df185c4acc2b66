"""Results as text: one format each, a piece at a time, so that none is ever held as a whole."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as _quoted
from typing import Protocol

from app.bulk.records import Answering, Classified, FileResult, printable
from app.inference.records import ImageInfo

FORMATS = ("table", "json", "jsonl", "csv")
RESUMABLE = ("jsonl", "csv")
"""Those whose rows stand by themselves: a later run appends to what an earlier one wrote."""

_BROKEN = "-"
_CSV_END = "\r\n"
_MOST_LABEL_WIDTH = 40


class Format(Protocol):
    """Text before, for each result, and after."""

    def head(self) -> str:
        """Return what comes first."""
        ...

    def row(self, result: FileResult) -> str:
        """Return one result."""
        ...

    def tail(self) -> str:
        """Return what comes last."""
        ...


def format_of(name: str, answering: Answering, top_k: int) -> Format:
    """Return the format of one of ``FORMATS``, for up to ``top_k`` labels per file."""
    if name == "csv":
        return CsvFormat(top_k)
    if name == "jsonl":
        return JsonLinesFormat()
    if name == "json":
        return JsonFormat()
    return TableFormat(answering.classes, top_k)


class TableFormat:
    """For people: labels with scores, then the file."""

    def __init__(self, classes: Sequence[str], top_k: int) -> None:
        """Make the columns as wide as the longest label, which every row may have."""
        longest = max((len(label) for label in classes), default=0)
        self._width = min(max(longest, len("LABEL")), _MOST_LABEL_WIDTH)
        self._top_k = top_k

    def head(self) -> str:
        """Return the line of headings."""
        return f"{'LABEL':<{self._width}}  SCORE   " * self._top_k + "FILE\n"

    def row(self, result: FileResult) -> str:
        """Return one line; of a broken file it has the reason."""
        file = printable(result.file)
        if not isinstance(result, Classified):
            blank = " " * ((self._width + 10) * self._top_k - 1 - len(_BROKEN))
            return f"{_BROKEN}{blank} {file}: {result.detail}\n"
        columns = [f"{p.label:<{self._width}}  {p.score:.4f}  " for p in result.predictions]
        return f"{''.join(columns)}{file}\n"

    def tail(self) -> str:
        """Return nothing."""
        return ""


class JsonLinesFormat:
    """An object on each line, with the fields of the API."""

    def head(self) -> str:
        """Return nothing."""
        return ""

    def row(self, result: FileResult) -> str:
        """Return one line."""
        return f"{_as_json(result)}\n"

    def tail(self) -> str:
        """Return nothing."""
        return ""


class JsonFormat:
    """One document with a list of the same objects."""

    def __init__(self) -> None:
        """Begin with the first one."""
        self._separator = "\n"

    def head(self) -> str:
        """Return the beginning of the list."""
        return '{"results": ['

    def row(self, result: FileResult) -> str:
        """Return one entry, with the comma that stands before it."""
        separator, self._separator = self._separator, ",\n"
        return f"{separator}{_as_json(result)}"

    def tail(self) -> str:
        """Return the end of the list."""
        return "\n]}\n"


class CsvFormat:
    """For spreadsheets: RFC 4180, but that lines end with a line feed alone."""

    def __init__(self, top_k: int) -> None:
        """Make columns for so many labels."""
        self._top_k = top_k
        self._buffer = io.StringIO()
        # Before Python 3.13, only what is in the end of a line is put between quotation marks.
        self._writer = csv.writer(self._buffer, lineterminator=_CSV_END)

    def head(self) -> str:
        """Return the line of headings."""
        names = ["file", "model", "version", "label", "score"]
        for place in range(2, self._top_k + 1):
            names += [f"label_{place}", f"score_{place}"]
        return self._line([*names, "error", "detail"])

    def row(self, result: FileResult) -> str:
        """Return one line, or several where a name has line feeds in it."""
        if not isinstance(result, Classified):
            blank: list[object] = [""] * (2 + 2 * self._top_k)
            return self._line([result.file, *blank, result.code, result.detail])
        fields: list[object] = [result.file, result.model, result.version]
        for found in result.predictions:
            fields += [found.label, found.score]
        return self._line([*fields, "", ""])

    def tail(self) -> str:
        """Return nothing."""
        return ""

    def _line(self, fields: Sequence[object]) -> str:
        self._writer.writerow(fields)
        line = self._buffer.getvalue().removesuffix(_CSV_END) + "\n"
        self._buffer.seek(0)
        self._buffer.truncate()
        return line


def _as_json(result: FileResult) -> str:
    """Return one object; put together, because making dictionaries first takes twice as long."""
    if not isinstance(result, Classified):
        error = {"code": result.code, "detail": result.detail}
        return json.dumps({"file": result.file, "error": error})
    predictions = ", ".join(
        [f"{_label_json(label, number)}{score!r}}}" for label, number, score in result.predictions]
    )
    answering, image = _answering_json(result.model, result.version), _image_json(result.image)
    return f'{{"file": {_quoted(result.file)}{answering}{predictions}{image}'


# What repeats from file to file. Bounded, as are the labels of a model and the sizes of a camera.


@functools.lru_cache(4096)
def _label_json(label: str, class_id: int) -> str:
    return f'{{"label": {_quoted(label)}, "class_id": {class_id}, "score": '


@functools.lru_cache(16)
def _answering_json(model: str, version: int) -> str:
    return f', "model": {_quoted(model)}, "version": {version}, "predictions": ['


@functools.lru_cache(256)
def _image_json(image: ImageInfo) -> str:
    fields = {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
    }
    return f'], "image": {json.dumps(fields)}}}'
