"""What holds for any input: over the corpus, over damaged copies, and over what is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.multipart import FilesReader, FormLimits
from app.api.query import ClassifyQuery, parse_query
from app.imaging.decoder import decode_image
from tests.factories.images import encode, noise_image
from tests.factories.versions import make_manifest
from tests.fuzz.targets import BOUNDARY, IMAGING, SPECS, TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
MOST_FILE_BYTES = 8_192
MOST_CORPUS_BYTES = 256 * 1024

# The same cases on every run: what is new is looked for by `make fuzz`.
BOUNDED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

DAMAGE = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 6), st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)
"""Places, how many bytes go there, and what comes instead."""


def damaged(data: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, instead in damage:
        at = place % (len(data) + 1)
        data = data[:at] + instead + data[at + length :]
    return data


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_promise_holds_for_the_corpus(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_small_corpus_and_no_folder_is_without_target() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)
    assert all(path.stat().st_size <= MOST_FILE_BYTES for path in FILES)
    assert sum(path.stat().st_size for path in FILES) <= MOST_CORPUS_BYTES


@pytest.mark.parametrize("target", TARGETS)
def test_promise_holds_for_damaged_files(target: str) -> None:
    files = [path.read_bytes() for path in FILES if path.parent.name == target]

    @BOUNDED
    @given(st.sampled_from(files), DAMAGE)
    def check(data: bytes, damage: list[tuple[int, int, bytes]]) -> None:
        TARGETS[target](damaged(data, damage))

    check()


@pytest.mark.parametrize("target", TARGETS)
def test_promise_holds_for_any_bytes(target: str) -> None:
    @BOUNDED
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        TARGETS[target](data)

    check()


@BOUNDED
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"]),
    st.sampled_from(["RGB", "L", "P", "1"]),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(SPECS),
)
def test_whatever_is_encoded_is_decoded(
    format_name: str, mode: str, width: int, height: int, spec: Any
) -> None:
    mode = "L" if format_name == "JPEG" and mode in ("P", "1") else mode
    data = encode(noise_image(width, height, mode), format_name)

    decoded = decode_image(data, spec, IMAGING)

    assert (decoded.format, decoded.width, decoded.height) == (format_name, width, height)
    assert decoded.pixels.shape == spec.shape


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0'), max_size=30)


@BOUNDED
@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=200)), min_size=1, max_size=4),
    st.integers(1, 60),
)
def test_form_gives_the_files_that_were_put_in(
    files: list[tuple[str, bytes]], piece_bytes: int
) -> None:
    files = [(name, content) for name, content in files if BOUNDARY not in content]
    body = b"".join(
        b"--%s\r\nContent-Disposition: form-data; name=\"files\"; filename=\"%s\"\r\n\r\n%s\r\n"
        % (BOUNDARY, name.encode(), content)
        for name, content in files
    )  # fmt: skip
    body += b"--%s--\r\n" % BOUNDARY
    reader = FilesReader(BOUNDARY, FormLimits("files", 4, "too many", 10_000))

    for at in range(0, len(body), piece_bytes):
        reader.feed(body[at : at + piece_bytes])
    found = [upload.content for upload in reader.finish()] if files else []
    reader.close()

    assert found == [content for _, content in files]


@BOUNDED
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
            "label": st.from_regex(r"[a-z]{1,8}", fullmatch=True),
            "top_k": st.integers(1, 10**6),
            "timeout_ms": st.floats(1e-3, 1e9, allow_nan=False),
            "priority": st.sampled_from(["interactive", "bulk"]),
        },
    )
)
def test_query_has_the_parameters_that_were_given(values: dict[str, Any]) -> None:
    text = "&".join(f"{name}={value}" for name, value in values.items())

    found = parse_query(text.replace("+", "%2B").encode(), ClassifyQuery)

    assert found.model_dump(exclude_unset=True) == values


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
FIELDS = sorted(json.loads(make_manifest().to_json()))


@BOUNDED
@given(st.dictionaries(st.sampled_from([*FIELDS, "statistics", "another"]), JSON, max_size=2))
def test_manifest_with_any_fields_is_refused_or_whole(changes: dict[str, Any]) -> None:
    fields = json.loads(make_manifest().to_json()) | changes

    TARGETS["manifest"](json.dumps(fields).encode())
