from __future__ import annotations

import contextlib
import logging
import warnings

import pytest

from app.errors import ClientFaultError, ImageDecodeError
from app.imaging.container import Limits, identify, open_container
from app.imaging.decoder import ImagingPolicy, decode_image
from app.imaging.quiet import quieten_pillow
from app.imaging.webp import read_size
from app.types import InputSpec
from tests.factories import images

ALL = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


@pytest.mark.parametrize("format_name", ALL)
def test_content_decides_the_format(format_name: str) -> None:
    assert identify(images.encode(images.noise_image(8, 8), format_name), ALL) == format_name


@pytest.mark.parametrize("big_tiff", [False, True])
def test_both_kinds_of_tiff_are_known(big_tiff: bool) -> None:
    data = images.encode(images.noise_image(8, 8), "TIFF", big_tiff=big_tiff)

    assert identify(data, ALL) == "TIFF"
    assert open_container(data, "TIFF", Limits(100, 100)).image.size == (8, 8)


@pytest.mark.parametrize("format_name", ALL)
def test_opening_reads_the_header_only(format_name: str) -> None:
    whole = images.encode(images.noise_image(300, 200), format_name)
    if format_name == "TIFF":  # the directory is at the end
        whole = images.strip_tiff(bytes(60_000), 300, 200)
    kept = len(whole) if format_name == "WEBP" else len(whole) // 2

    container = open_container(whole[:kept], format_name, Limits(60_000, 100))

    assert container.image.size == (300, 200)


def test_too_many_tiles_are_refused() -> None:
    with pytest.raises(ImageDecodeError, match=r"70,000 tiles; the limit is 65,536"):
        decode_image(images.many_tiles_tiff(70_000), InputSpec(8, 8, 1), ImagingPolicy())


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"lossless": True}),
        ("RGBA", {}),
        ("RGB", {"exif": images.orientation_exif(3)}),
    ],
    ids=["lossy", "lossless", "extended by alpha", "extended by exif"],
)
def test_size_of_a_webp_is_read_from_its_header(mode: str, options: dict[str, object]) -> None:
    image = images.noise_image(301, 17, mode)
    image.putalpha(100) if mode == "RGBA" else None

    assert read_size(images.encode(image, "WEBP", **options)) == (301, 17)


@pytest.mark.parametrize("end", [0, 12, 20, 29])
def test_size_of_a_cut_off_webp_is_unknown(end: int) -> None:
    assert read_size(images.huge_webp(5, 5)[:end]) is None


def test_size_of_another_kind_of_webp_is_unknown() -> None:
    assert read_size(images.huge_webp(5, 5).replace(b"VP8X", b"VP9 ")) is None


def messages_of_a_damaged_tiff(*, quiet: bool) -> list[str]:
    bits = (258, 3, 3, 2**31)  # three values, far behind the end
    data = images.tiff([bits, *(tag for tag in images.tiff_tags(8, 8) if tag[0] != bits[0])])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if quiet:
            quieten_pillow()
        with contextlib.suppress(ClientFaultError):
            decode_image(data, InputSpec(8, 8, 1), ImagingPolicy())
    return [str(warning.message) for warning in caught]


def test_quiet_pillow_says_nothing_about_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("PIL"), "level", logging.NOTSET)  # put back afterwards

    assert messages_of_a_damaged_tiff(quiet=False) != []
    assert messages_of_a_damaged_tiff(quiet=True) == []
    assert not logging.getLogger("PIL.TiffImagePlugin").isEnabledFor(logging.ERROR)
