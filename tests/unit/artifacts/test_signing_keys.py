from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.artifacts.signing_keys import create_key, read_private_key, read_trusted_keys
from app.errors import SigningKeyError
from tests.factories.signing import make_key, no_passphrase, public_of


def test_private_key_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public = create_key(tmp_path / "release.key")
    finally:
        os.umask(before)

    assert (tmp_path / "release.key").stat().st_mode & 0o777 == 0o600
    assert public == tmp_path / "release.key.pub"
    assert public.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["release.key", "release.key.pub"])
def test_key_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(SigningKeyError, match=f"{name} exists"):
        create_key(tmp_path / "release.key")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602], ids=oct)
def test_private_key_that_others_may_use_is_refused_with_its_permissions(
    tmp_path: Path, mode: int
) -> None:
    key = make_key(tmp_path)
    key.chmod(mode)

    with pytest.raises(SigningKeyError, match=rf"{mode:04o}.*chmod 600"):
        read_private_key(key, no_passphrase)


def test_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    create_key(tmp_path / "release.key", b"correct horse")

    assert b"ENCRYPTED" in (tmp_path / "release.key").read_bytes()
    key = read_private_key(tmp_path / "release.key", lambda: b"correct horse")
    (trusted,) = read_trusted_keys([tmp_path / "release.key.pub"]).keys
    assert key.public_key().public_bytes_raw() == trusted.public_key
    for wrong in (b"battery", b""):
        with pytest.raises(SigningKeyError, match="passphrase"):
            read_private_key(tmp_path / "release.key", partial(bytes, wrong))


def test_trusted_keys_are_called_by_their_files(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("nightly", "release"):
        make_key(keys, name)
    alone = make_key(tmp_path, "alone")

    trust = read_trusted_keys([keys, public_of(alone)])

    assert [key.name for key in trust.keys] == ["nightly", "release", "alone"]
    assert len({key.public_key for key in trust.keys}) == 3


def test_folder_without_public_keys_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="holds no public key"):
        read_trusted_keys([tmp_path])


def test_trusted_key_that_others_may_write_is_complained_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    public = public_of(make_key(tmp_path))
    read_trusted_keys([public])
    assert not caplog.records
    public.chmod(0o664)

    read_trusted_keys([public])

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert vars(record)["file"] == str(public)
    assert vars(record)["permissions"] == "0664"


def ec_key() -> tuple[bytes, bytes]:
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def test_what_is_no_key_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    private, public = ec_key()
    contents = {"other": private, "noise": b"\xff\x00", "large": b" " * 70_000}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(SigningKeyError, match=name):
            read_private_key(path, no_passphrase)
    for name, content in {"other.pub": public, "noise.pub": b"PUBLIC"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SigningKeyError, match=name):
            read_trusted_keys([tmp_path / name])
    with pytest.raises(SigningKeyError, match=r"gone\.pub cannot be read"):
        read_trusted_keys([tmp_path / "gone.pub"])


def test_private_key_among_the_trusted_ones_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path)

    with pytest.raises(SigningKeyError, match=r"is a private key.*release\.key\.pub"):
        read_trusted_keys([key])


def test_public_key_is_not_taken_for_a_private_one_that_others_may_read(tmp_path: Path) -> None:
    public = public_of(make_key(tmp_path))

    with pytest.raises(SigningKeyError, match=r"is a public key.*release\.key$"):
        read_private_key(public, no_passphrase)
