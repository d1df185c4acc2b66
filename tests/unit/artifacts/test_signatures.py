from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.artifacts.checksums import verify_files
from app.artifacts.layout import SIGNATURES
from app.artifacts.manifest import read_manifest
from app.artifacts.republish import republish_version
from app.artifacts.signatures import MAX_SIGNATURES, read_signatures, unsigned_note
from app.artifacts.trust import ANYBODY
from app.errors import ArtifactError
from tests.factories.signing import make_key, public_of, sign, trust_in
from tests.factories.versions import edit_manifest, make_version


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_version(tmp_path / "store")


def test_signed_version_is_read_and_its_files_are_whole(folder: Path, key: Path) -> None:
    assert sign(folder, key)

    manifest = trust_in(key).read(folder)
    verify_files(folder, manifest)
    assert manifest == read_manifest(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_any_of_several_trusted_keys_is_enough(tmp_path: Path, folder: Path, key: Path) -> None:
    other = make_key(tmp_path, "nightly")
    sign(folder, other)

    assert trust_in(key, other).read(folder).version == 1


def test_one_trusted_signature_among_others_is_enough(
    tmp_path: Path, folder: Path, key: Path
) -> None:
    for name in ("one", "two"):
        sign(folder, make_key(tmp_path, name))
    sign(folder, key)

    assert trust_in(key).read(folder).version == 1


def test_unsigned_version_is_refused_and_the_trusted_keys_are_named(
    folder: Path, key: Path
) -> None:
    expected = r"it is not signed.*release \([0-9a-f]{16}\).*KERASERVE_TRUSTED_KEYS"
    with pytest.raises(ArtifactError, match=expected):
        trust_in(key).read(folder)


def test_version_signed_by_a_stranger_is_refused_and_both_are_named(
    tmp_path: Path, folder: Path, key: Path
) -> None:
    sign(folder, make_key(tmp_path, "stranger"))
    (signature,) = read_signatures(folder)

    with pytest.raises(ArtifactError, match=f"signed by {signature.key_id}; .* release"):
        trust_in(key).read(folder)


def test_altered_manifest_is_refused(folder: Path, key: Path) -> None:
    sign(folder, key)
    edit_manifest(folder, parameters=43)

    with pytest.raises(ArtifactError, match=r"not what release .* signed: it was altered"):
        trust_in(key).read(folder)


def test_altered_file_is_found_though_the_manifest_is_signed(folder: Path, key: Path) -> None:
    sign(folder, key)
    weights = folder / "model.keras"
    weights.write_bytes(weights.read_bytes()[::-1])

    with pytest.raises(ArtifactError, match="SHA-256"):
        verify_files(folder, trust_in(key).read(folder))


def test_signature_of_one_version_is_none_of_another(tmp_path: Path, key: Path) -> None:
    one, two = (make_version(tmp_path / "store", version=version) for version in (1, 2))
    sign(one, key)
    shutil.copy(one / SIGNATURES, two / SIGNATURES)

    with pytest.raises(ArtifactError, match="altered"):
        trust_in(key).read(two)


def test_public_key_of_another_cannot_be_claimed(tmp_path: Path, folder: Path, key: Path) -> None:
    sign(folder, make_key(tmp_path, "stranger"))
    document = json.loads((folder / SIGNATURES).read_text())
    document["signatures"][0]["public_key"] = trust_in(key).keys[0].public_key.hex()
    (folder / SIGNATURES).write_text(json.dumps(document))

    with pytest.raises(ArtifactError, match="altered"):
        trust_in(key).read(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema_version": 2, "signatures": []}',
        '{"signatures": [{"public_key": "00", "signature": "00"}]}',
        json.dumps({"signatures": [{"public_key": "0" * 64, "signature": "0" * 128}] * 33}),
        " " * 70_000,
    ],
    ids=["empty", "list", "later schema", "too short", "too many", "too large"],
)
def test_broken_signatures_are_refused_by_name(folder: Path, key: Path, content: str) -> None:
    (folder / SIGNATURES).write_text(content)

    with pytest.raises(ArtifactError, match=r"signatures\.json"):
        trust_in(key).read(folder)


def test_numbers_that_are_no_key_and_no_signature_prove_nothing(folder: Path, key: Path) -> None:
    ((trusted,),) = (trust_in(key).keys,)
    for public_key in ("f" * 64, trusted.public_key.hex()):
        document = {"signatures": [{"public_key": public_key, "signature": "f" * 128}]}
        (folder / SIGNATURES).write_text(json.dumps(document))

        with pytest.raises(ArtifactError, match=r"altered|signed by"):
            trust_in(key).read(folder)


def test_linked_signatures_and_pipes_are_refused(tmp_path: Path, folder: Path, key: Path) -> None:
    sign(folder, key)
    (folder / SIGNATURES).rename(tmp_path / "elsewhere")
    (folder / SIGNATURES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="no regular file"):
        trust_in(key).read(folder)

    (folder / SIGNATURES).unlink()
    os.mkfifo(folder / SIGNATURES)  # opened in the usual way, it would wait for a writer
    with pytest.raises(ArtifactError, match="no regular file"):
        trust_in(key).read(folder)


def test_signing_again_changes_nothing_and_after_a_change_replaces(folder: Path, key: Path) -> None:
    assert sign(folder, key)
    before = (folder / SIGNATURES).read_bytes()
    assert not sign(folder, key)
    assert (folder / SIGNATURES).read_bytes() == before

    edit_manifest(folder, parameters=43)
    assert sign(folder, key)
    assert len(read_signatures(folder)) == 1
    assert trust_in(key).read(folder).parameters == 43


def test_there_is_room_for_so_many_signatures_and_no_more(
    tmp_path: Path, folder: Path, key: Path
) -> None:
    for number in range(MAX_SIGNATURES):
        sign(folder, make_key(tmp_path, f"key{number}"))

    with pytest.raises(ArtifactError, match=str(MAX_SIGNATURES)):
        sign(folder, key)
    assert len(read_signatures(folder)) == MAX_SIGNATURES


def test_who_signed_is_told_by_name_by_id_and_with_what_is_wrong(
    tmp_path: Path, folder: Path, key: Path
) -> None:
    assert trust_in(key).signers(folder) == ()
    sign(folder, key)
    sign(folder, make_key(tmp_path, "stranger"))
    mine, others = (signature.key_id for signature in read_signatures(folder))

    assert trust_in(key).signers(folder) == (f"release ({mine})", f"{others}, not trusted")
    assert ANYBODY.signers(folder) == (mine, others)
    edit_manifest(folder, parameters=43)
    assert ANYBODY.signers(folder)[0] == f"{mine} before it was altered"


def test_without_trusted_keys_nothing_is_asked_for(folder: Path) -> None:
    (folder / SIGNATURES).write_text("nonsense")

    assert not ANYBODY.asks
    verify_files(folder, ANYBODY.read(folder))


def test_republished_version_is_unsigned_and_that_is_said(folder: Path, key: Path) -> None:
    plain = republish_version(folder, read_manifest(folder), folder.parents[1])
    assert unsigned_note(folder, plain) == []
    sign(folder, key)

    published = republish_version(folder, read_manifest(folder), folder.parents[1])

    assert not (published / SIGNATURES).exists()
    (line,) = unsigned_note(folder, published)
    assert "keraserve-train sign cifar10:3 --key FILE" in line
    assert read_signatures(folder)[0].key_id in line


def test_library_is_imported_where_a_signature_is_computed_only(folder: Path, key: Path) -> None:
    sign(folder, key)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "import app.main\n"
        "from app.artifacts.signing_keys import read_trusted_keys\n"
        f"folder = Path({str(folder)!r})\n"
        "read_trusted_keys(()).read(folder)\n"
        "print('cryptography' in sys.modules)\n"
        f"read_trusted_keys((Path({str(public_of(key))!r}),)).read(folder)\n"
        "print('cryptography' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["False", "True"]
