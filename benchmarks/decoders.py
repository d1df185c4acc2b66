"""``python -m benchmarks.decoders``: what decoding costs, ours and that of other libraries.

CPU time of one thread per image, for thumbnails as networks take them, for pictures of 224 px and
for photographs of 12 megapixels that are stored turned. All decoders take turns within a round,
and the order is reversed every round. Libraries that are not installed are left out; they give
the stored pixels, without limits, orientation or resize.
"""

from __future__ import annotations

import argparse
import importlib
import io
import multiprocessing
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.imaging.container import Limits, open_container
from app.imaging.decoder import ImagingPolicy, decode_image
from app.types import ImageArray, InputSpec
from benchmarks.pictures import picture
from benchmarks.processors import machine_line
from benchmarks.report import Table, number, spread

POLICY = ImagingPolicy()
OURS, LONG_WAY = "decode_image", "Pillow's file object"
_SLICE_S = 0.2
"""Of one decoder in one round: thousands of thumbnails, or one photograph."""
_ORIENTATION_TAG, _TURNED = 0x0112, 6

Decoder = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A file, and what a network wants of it."""

    name: str
    data: bytes
    spec: InputSpec

    @property
    def is_jpeg(self) -> bool:
        return self.data.startswith(b"\xff\xd8")

    @property
    def is_photo(self) -> bool:
        """Whether it is larger than any network takes, and not decoded whole if that can be."""
        return len(self.data) > 1_000_000


def scene(width: int, height: int) -> Image.Image:
    """A picture with structure and noise at all scales, as photographs have."""
    small = Image.fromarray(picture(1)).resize((width // 8, height // 8), Image.Resampling.BICUBIC)
    random = np.random.default_rng(1)
    coarse = np.asarray(small, np.int16) + random.normal(0, 8, (*small.size[::-1], 3))
    fine = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((width, height))
    pixels = np.asarray(fine, np.int16) + random.integers(-6, 7, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def cases() -> list[Case]:
    """Make the files; the photographs take some seconds."""
    color, grey, large = InputSpec(32, 32, 3), InputSpec(28, 28, 1), InputSpec(224, 224, 3)
    thumbnail = Image.fromarray(picture(1))
    digit = thumbnail.convert("L").resize((28, 28))
    middle, photo = scene(224, 224), scene(4000, 3000)
    turned = Image.Exif()
    turned[_ORIENTATION_TAG] = _TURNED
    phone_jpeg = encode(photo, "JPEG", quality=92, exif=turned)
    phone_png = encode(photo, "PNG", compress_level=1, exif=turned)
    return [
        Case("32 px PNG", encode(thumbnail, "PNG"), color),
        Case("28 px grey PNG", encode(digit, "PNG"), grey),
        Case("32 px JPEG", encode(thumbnail, "JPEG", quality=90), color),
        Case("28 px grey JPEG", encode(digit, "JPEG", quality=90), grey),
        Case("224 px JPEG", encode(middle, "JPEG", quality=90), large),
        Case("224 px PNG", encode(middle, "PNG"), large),
        Case("12 MP JPEG decoded whole", phone_jpeg, InputSpec(32, 32, 3, interpolation="nearest")),
        *(
            Case(f"12 MP {name} to {spec.width} px", data, spec)
            for name, data in (("JPEG", phone_jpeg), ("PNG", phone_png))
            for spec in (color, grey, large)
        ),
    ]


def decoders(case: Case) -> dict[str, Decoder]:
    """Return all that can decode the case here, ours first."""
    data, spec = case.data, case.spec
    found: dict[str, Decoder] = {OURS: lambda: decode_image(data, spec, POLICY).pixels}
    if not case.is_photo:
        found[LONG_WAY] = lambda: by_file_object(case)
    makers = {"cv2": _opencv, "simplejpeg": _simplejpeg, "imagecodecs": _imagecodecs}
    for name, make in makers.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        decode = make(module, case)
        if decode:
            found[f"{name} {module.__version__}"] = decode
    return found


def by_file_object(case: Case) -> ImageArray:
    """Decode what has the network's size already on the way that any other file takes."""
    limits = Limits(POLICY.max_image_pixels, POLICY.max_decode_ms)
    container = open_container(case.data, "JPEG" if case.is_jpeg else "PNG", limits)
    container.image.load()
    return np.asarray(container.image).reshape(case.spec.shape)


def _scale(case: Case) -> int:
    """Return the fraction at which ``decode_image`` decodes the photographs, as 1 / it."""
    if case.spec.interpolation == "nearest":
        return 1
    return 8 if case.spec.width < 100 else 4


def _opencv(cv2: Any, case: Case) -> Decoder:
    cv2.setNumThreads(1)
    color = case.spec.channels == 3
    flag = cv2.IMREAD_COLOR_RGB if color else cv2.IMREAD_GRAYSCALE
    if case.is_photo and case.is_jpeg and _scale(case) > 1:
        flag = getattr(cv2, f"IMREAD_REDUCED_{'COLOR' if color else 'GRAYSCALE'}_{_scale(case)}")
    return lambda: cv2.imdecode(np.frombuffer(case.data, np.uint8), flag)


def _simplejpeg(simplejpeg: Any, case: Case) -> Decoder | None:
    if not case.is_jpeg:
        return None
    space = "RGB" if case.spec.channels == 3 else "GRAY"
    least = 3000 // _scale(case) if case.is_photo else 0
    return lambda: simplejpeg.decode_jpeg(case.data, space, min_height=least, min_width=least)


def _imagecodecs(imagecodecs: Any, case: Case) -> Decoder | None:
    if case.is_jpeg:
        return None if case.is_photo else lambda: imagecodecs.jpeg8_decode(case.data)
    return lambda: imagecodecs.png_decode(case.data)


def repeat(decode: Decoder, times: int) -> None:
    for _ in range(times):
        decode()


def cpu_us(decode: Decoder, times: int) -> float:
    """Return the CPU time of this thread per image, µs."""
    begin = time.thread_time()
    repeat(decode, times)
    return (time.thread_time() - begin) / times * 1e6


def wall_s(decode: Decoder, times: int, threads: int) -> float:
    """Return how long so many threads take for so many images each, s."""
    workers = [threading.Thread(target=repeat, args=(decode, times)) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def speed_up(decode: Decoder, times: int, tries: int) -> float:
    """Return images per second of two threads over those of one: 1 holds the lock, 2 does not.

    The shortest of several tries is taken of both: whatever else runs can only prolong them.
    """
    pairs = [(wall_s(decode, times, 1), wall_s(decode, times, 2)) for _ in range(tries)]
    return 2 * min(alone for alone, _ in pairs) / min(both for _, both in pairs)


def peak_mib(data: bytes, spec: InputSpec) -> float:
    """Return by how much one decode raises the most memory that this process has had, MiB."""
    before = _most_kib()
    decode_image(data, spec, POLICY)
    return (_most_kib() - before) / 1024


def _most_kib() -> float:
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return float("nan")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    return float(found[1]) if found else float("nan")


def measure(case: Case, rounds: int, with_threads: bool) -> list[list[str]]:
    """Return a row for each decoder of a case."""
    all_of_them = decoders(case)
    wanted = all_of_them[OURS]()
    times = {}
    for name, decode in all_of_them.items():
        decode()
        times[name] = max(1, round(_SLICE_S * 1e6 / cpu_us(decode, 1)))
    found: dict[str, list[float]] = {name: [] for name in all_of_them}
    for turn in range(rounds):
        for name in list(all_of_them)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(cpu_us(all_of_them[name], times[name]))
    rows = []
    for name, decode in all_of_them.items():
        ratios = [a / b for a, b in zip(found[name], found[OURS], strict=True)]
        rows.append(
            [
                f"{case.name}, {name}",
                str(spread(found[name])),
                "" if name == OURS else str(spread(ratios)),
                "" if case.is_photo or name == OURS else _difference(decode(), wanted),
            ]
        )
        if with_threads:
            rows[-1].append(number(speed_up(decode, max(1, times[name] // 4), 2 * rounds)))
    return rows


def _difference(pixels: Any, wanted: ImageArray) -> str:
    difference = np.abs(np.asarray(pixels, np.int16).reshape(wanted.shape) - wanted)
    return f"{difference.max()}"


def memory_table(photos: list[Case]) -> Table:
    """Measure each photograph in a process of its own."""
    rows = []
    context = multiprocessing.get_context("spawn")
    for case in photos:
        with context.Pool(1) as pool:
            rows.append([case.name, number(pool.apply(peak_mib, (case.data, case.spec)))])
    return Table("memory that one decode takes", ["", "MiB"], rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoders", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their name")
    parser.add_argument("--threads", action="store_true", help="also two at once: wall-clock time")
    parser.add_argument("--markdown", action="store_true", help="tables as Markdown")
    options = parser.parse_args()
    chosen = [case for case in cases() if options.only in case.name]
    rows = []
    for case in chosen:
        print(f"{case.name}: {len(case.data):,} bytes", file=sys.stderr)
        rows += measure(case, options.rounds, options.threads)
    head = ["", "CPU µs/image", "to ours", "levels off"]
    if options.threads:
        head.append("two threads")
    tables = [Table("one image, medians of the rounds (range)", head, rows)]
    if photos := [case for case in chosen if case.is_photo]:
        tables.append(memory_table(photos))
    print(machine_line())
    for table in tables:
        print(table.as_markdown() if options.markdown else table.as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
