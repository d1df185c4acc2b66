"""Files of results, and going on with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bulk.formats import CsvFormat, Format, JsonLinesFormat
from app.bulk.records import Classified, Failed, FileResult
from app.bulk.result_file import (
    Earlier,
    ResultFileError,
    growing_file,
    new_file,
    read_earlier,
    standard_output,
)
from app.inference.records import ImageInfo, Prediction

INFO = ImageInfo("PNG", 4, 4, "RGB")
RESULTS: list[FileResult] = [
    Classified("a.png", "pets", 3, (Prediction("cat", 0, 0.9),), INFO),
    Failed('odd "name",\nwith all.png', "invalid_image", "truncated"),
    Classified("lines \u2028\x0b\x85\r\x1c.png", "pets", 3, (Prediction("a\rb", 0, 0.9),), INFO),
    Classified("\udcff.png", "pets", 3, (Prediction("dog", 1, 0.8),), INFO),
]
FORMATS: dict[str, type[JsonLinesFormat] | type[CsvFormat]] = {
    "jsonl": JsonLinesFormat,
    "csv": CsvFormat,
}


def form(name: str) -> Format:
    return JsonLinesFormat() if name == "jsonl" else CsvFormat(1)


def write(path: Path, name: str, earlier: Earlier, *results: FileResult) -> None:
    with growing_file(path, earlier) as sink:
        if not earlier.has_head:
            sink.write(form(name).head())
        for result in results:
            sink.write(form(name).row(result))


def read(path: Path, name: str) -> Earlier:
    return read_earlier(path, name, form(name).head())


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_is_found_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    write(path, name, Earlier(), *RESULTS)

    found = read(path, name)

    assert found.files == {result.file for result in RESULTS}
    assert found.answering == "pets:3"
    assert found.end == path.stat().st_size
    assert found.has_head


@pytest.mark.parametrize("name", FORMATS)
def test_wherever_it_was_cut_off_going_on_gives_the_same_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out"
    write(path, name, Earlier(), *RESULTS)
    content = path.read_bytes()

    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        earlier = read(path, name)
        rest = [result for result in RESULTS if result.file not in earlier.files]
        write(path, name, earlier, *rest)
        assert path.read_bytes() == content, cut


@pytest.mark.parametrize("name", FORMATS)
def test_without_a_file_there_is_nothing(tmp_path: Path, name: str) -> None:
    assert read(tmp_path / "out", name) == Earlier()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("jsonl", b'{"file": "a"}\nhello\n', "line 2: no result"),
        ("jsonl", b"[1]\n", "line 1: no result"),
        ("jsonl", b"everything on one line", "line 1: no result"),
        ("jsonl", b'{"file": "a"}\n{"name": ', "line 2: no result"),
        ("csv", b"everything on one line", "other columns"),
        ("csv", b"file,model,version,label,score,label_2", "other columns"),
        ("csv", b"name,label\n", "other columns"),
        ("csv", b"file,model,version,label,score,error,detail\na\rb,,,,,x,y\n", "row 2: no result"),
        ("csv", b"file,model,version,label,score,error,detail\na,b\n", "row 2: no result"),
    ],
)
def test_something_else_is_not_gone_on_with(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(ResultFileError, match=told):
        read(path, name)
    assert path.read_bytes() == content


def test_names_that_are_no_text_come_out_of_the_standard_output_as_they_are(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    with standard_output() as sink:
        sink.write("\udcff.png caf\u00e9\n")
    assert capsysbinary.readouterr().out == b"\xff.png caf\xc3\xa9\n"


@pytest.mark.parametrize("name", ["table", "json"])
def test_what_is_written_as_a_whole_cannot_be_gone_on_with(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultFileError, match="jsonl or csv, not"):
        read_earlier(tmp_path / "out", name, "")


def test_folder_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="cannot be read"):
        read(tmp_path, "jsonl")
    with (
        pytest.raises(ResultFileError, match="cannot be written"),
        growing_file(tmp_path / "no" / "out", Earlier()),
    ):
        pass


def test_whole_file_appears_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with new_file(path) as sink:
        sink.write("half ")
        assert not path.exists()
        sink.write("and half")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("out", "half and half")
    ]


def test_whole_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with new_file(tmp_path / "out") as sink:
            sink.write("half")
            raise RuntimeError("of the test")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
