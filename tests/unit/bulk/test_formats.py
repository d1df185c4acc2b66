"""Results as text."""

from __future__ import annotations

import csv
import io
import json

import pytest

from app.bulk.formats import FORMATS, Format, format_of
from app.bulk.records import Answering, Classified, Failed
from app.inference.records import ImageInfo, Prediction

ANSWERING = Answering("pets", 3, ("cat", "dog", "hedgehog"))
GOOD = Classified(
    "a/b.png", "pets", 3,
    (Prediction("cat", 0, 0.75), Prediction("hedgehog", 2, 0.25)),
    ImageInfo("PNG", 4, 5, "RGB"),
)  # fmt: skip
BAD = Failed('x "y",\n.png', "invalid_image", "it is truncated")


def whole(form: Format, *results: Classified | Failed) -> str:
    return form.head() + "".join(form.row(result) for result in results) + form.tail()


def test_json_lines_have_the_fields_of_the_api() -> None:
    lines = whole(format_of("jsonl", ANSWERING, 2), GOOD, BAD).splitlines()

    assert json.loads(lines[0]) == {
        "file": "a/b.png",
        "model": "pets",
        "version": 3,
        "predictions": [
            {"label": "cat", "class_id": 0, "score": 0.75},
            {"label": "hedgehog", "class_id": 2, "score": 0.25},
        ],
        "image": {"format": "PNG", "width": 4, "height": 5, "mode": "RGB"},
    }
    assert json.loads(lines[1]) == {
        "file": 'x "y",\n.png',
        "error": {"code": "invalid_image", "detail": "it is truncated"},
    }


def test_labels_and_names_of_any_characters_are_json() -> None:
    odd = 'q"\\\u2028\udcff\n'
    result = Classified(odd, odd, 1, (Prediction(odd, 0, 1.0),), ImageInfo("PNG", 1, 1, "L"))
    (line,) = whole(format_of("jsonl", ANSWERING, 1), result).splitlines()
    row = json.loads(line)
    assert row["file"] == row["model"] == row["predictions"][0]["label"] == odd


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_document_of_any_length(count: int) -> None:
    text = whole(format_of("json", ANSWERING, 2), *[GOOD] * count)
    assert [row["file"] for row in json.loads(text)["results"]] == ["a/b.png"] * count


def test_csv_has_a_column_for_each_place_and_for_errors() -> None:
    text = whole(format_of("csv", ANSWERING, 2), GOOD, BAD)

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0] == {
        "file": "a/b.png", "model": "pets", "version": "3", "label": "cat", "score": "0.75",
        "label_2": "hedgehog", "score_2": "0.25", "error": "", "detail": "",
    }  # fmt: skip
    assert rows[1]["file"] == BAD.file
    assert (rows[1]["label"], rows[1]["error"], rows[1]["detail"]) == (
        "", "invalid_image", "it is truncated",
    )  # fmt: skip


def test_spreadsheets_find_every_name_in_one_row() -> None:
    names = ["a\rb", "a\r\nb", "a\u2028b", '"', ",", " a ", "\n"]
    failures = [Failed(name, "x", "no") for name in names]
    text = whole(format_of("csv", ANSWERING, 1), *failures)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert [row["file"] for row in rows] == names


def test_table_has_straight_columns_and_nothing_that_steers_a_terminal() -> None:
    lines = whole(format_of("table", ANSWERING, 2), GOOD, Failed("\x1b[2J.png", "x", "no")).split(
        "\n"
    )
    assert lines == [
        "LABEL     SCORE   LABEL     SCORE   FILE",
        "cat       0.7500  hedgehog  0.2500  a/b.png",
        "-                                   \\x1b[2J.png: no",
        "",
    ]


def test_every_format_that_is_offered_is_there() -> None:
    assert len({type(format_of(name, ANSWERING, 1)) for name in FORMATS}) == len(FORMATS)
