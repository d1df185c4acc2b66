"""Writes the seeds of the corpus: small files of every kind that is read, good and hostile.

    .venv/bin/python -m tests.fuzz.seeds

All are made here; none is an image of a data set. Files that the fuzzer found are added by hand,
named after what they broke.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from app.artifacts.labelled_samples import LabelledSamples, write_labelled_samples
from app.artifacts.samples import write_samples
from app.imaging.webp import strip_webp
from tests.factories import hostile
from tests.factories.images import encode, huge_png, noise_image, orientation_exif
from tests.factories.versions import make_manifest, make_samples

CORPUS = Path(__file__).parent / "corpus"

PNG = encode(noise_image(4, 4), "PNG")
_HEAD = b'\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n'
_END = b"\r\n--x-boundary--\r\n"
_FORM_TYPE = b"multipart/form-data; boundary=x-boundary\n--x-boundary"

QUERIES = (
    b"model=cifar10&version=1&top_k=3&timeout_ms=500&priority=bulk",
    b"label=stable&top_k=1",
    b"limit=10&offset=0&label=cat",
    b"version=99999999999999999999999999&timeout_ms=1e309",
    b"timeout_ms=nan&top_k=%31&model=%ff%00",
    b"top_k=1&top_k=2&unknown=&=&&;",
)


def images() -> dict[str, bytes]:
    """Return an image for each way of reading one."""
    rgb, grey = noise_image(12, 10), noise_image(12, 10, "L")
    frames = [noise_image(6, 5, "P", seed=seed) for seed in range(2)]
    animated = {"save_all": True, "append_images": frames[1:]}
    turned = orientation_exif(6)
    return {
        "rgb.png": encode(rgb, "PNG", exif=turned),
        "palette.png": encode(rgb.quantize(8), "PNG", transparency=b"\0\x80"),
        "huge.png": huge_png(60_000, 60_000),
        "rgb.jpg": encode(rgb, "JPEG", exif=turned),
        "progressive.jpg": encode(rgb, "JPEG", progressive=True),
        "scans.jpg": hostile.scans_jpeg(16, mode="L", scans=20),
        "cmyk.jpg": encode(rgb.convert("CMYK"), "JPEG"),
        "lossy.webp": encode(rgb, "WEBP", exif=turned),
        "lossless.webp": encode(rgb, "WEBP", lossless=True),
        "tables.webp": hostile.code_tables_webp(16),
        "rgb.bmp": encode(rgb, "BMP"),
        "runs.bmp": hostile.run_length_bmp(4, 4, b"\4\1\0\0" * 4),
        "frames.gif": encode(frames[0], "GIF", **animated),
        "comments.gif": hostile.blocks_gif(50),
        "raw.tif": encode(grey, "TIFF", exif=turned),
        "lzw.tif": encode(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encode(grey.convert("F"), "TIFF", compression="tiff_adobe_deflate"),
        "fax.tif": encode(grey.convert("1"), "TIFF", compression="group4"),
        "big.tif": encode(grey, "TIFF", big_tiff=True),
    }


def lossless_streams() -> dict[str, bytes]:
    """Return lossless WebP streams, with and without what stands before their tables."""
    photo = noise_image(8, 8).resize((64, 48))  # smooth: worth predicting
    pictures = {
        "predicted": encode(photo, "WEBP", lossless=True, method=6),
        "palette": encode(photo.quantize(5).convert("RGB"), "WEBP", lossless=True),
        "many": hostile.code_tables_webp(16),
    }
    streams = {name: strip_webp(data)[1].colors for name, data in pictures.items()}
    return {name: bytes(stream) for name, stream in streams.items() if stream is not None}


def forms() -> dict[str, bytes]:
    """Return what stands behind the first boundary of a form."""
    file = _HEAD % b"file" + b"\r\n" + PNG
    several = b"".join(_HEAD % b"files" + b"\r\n" + PNG + b"\r\n--x-boundary" for _ in range(2))
    return {
        "one": file + _END,
        "typed": _HEAD % b"file" + b"Content-Type: image/png\r\n\r\n" + PNG + _END,
        "several": several + b"--\r\n",
        "other": _HEAD % b"model" + b"\r\ncifar10" + _END,
        "open": file,
    }


def bodies() -> dict[str, bytes]:
    """Return bodies behind their types."""
    found = {f"form-{name}": _FORM_TYPE + form for name, form in forms().items()}
    return found | {"raw": b"image/png\n" + PNG, "text": b"text/plain\nhello", "none": b"\n" + PNG}


def manifests() -> dict[str, bytes]:
    """Return manifests, whole and nearly so."""
    whole = make_manifest().to_json()
    changed = json.loads(whole) | {"metrics": {"accuracy": 1e308}, "republished_from": 1}
    return {"whole": whole.encode(), "changed": json.dumps(changed).encode(), "empty": b"{}"}


def samples() -> dict[str, bytes]:
    """Return files of samples, of a version and of a model."""
    made = make_samples(make_manifest(), count=2)
    assert made.labels is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        write_samples(path, made)
        own = path.read_bytes()
        shared = LabelledSamples(made.images, made.labels, ("cat", "dog", "frog"))
        write_labelled_samples(path, shared)
        return {"own.npz": own, "shared.npz": path.read_bytes()}


def main() -> None:
    """Write them all."""
    kinds = {
        "decode": images(),
        "tables": lossless_streams(),
        "multipart": forms(),
        "body": bodies(),
        "query": {f"query-{number}": query for number, query in enumerate(QUERIES)},
        "manifest": manifests(),
        "samples": samples(),
    }
    for target, files in kinds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
