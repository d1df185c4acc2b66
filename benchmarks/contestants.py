"""Who is measured: how each is started, what it is sent and how its answers are read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.load.requests import image_request
from app.settings import Settings
from benchmarks.servers import HOST, ServerSpec

OURS = "keraserve"
REUSE_OFF = {"coalesce": "false", "cache_bytes": "0"}
EXACT = ("--engine", "tensorflow", "--precision", "float32")
"""Options of ``benchmarks.bound``: as training computed."""

TRITON_PATH = "/v2/models/classifier/infer"

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
}

Labels = list[str]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server in one set-up.

    Attributes:
        spec: How to start it.
        make_request: A whole HTTP request from a PNG file.
        read_label: The best label from the body of an answer and the labels of the model.
        is_multipart: Its requests are what the load generator makes itself.
        has_open_loop: It is measured at fixed rates, too.
        overload_options: Added to its command for the open loops, for which it is started once
            more: limits that its documentation has for overload, and that would refuse requests of
            the closed loops.
        is_bfloat16: It computes in bfloat16, so that borderline pictures may go another way.
        bound: Options of ``benchmarks.bound`` for the same engine and precision, whose bound is
            measured, too; none: it is not.
        environment: Folder of ``benchmarks/peers`` whose pins it runs on; None: this project's.
    """

    spec: ServerSpec
    make_request: Callable[[Path], bytes]
    read_label: Callable[[bytes, Labels], str]
    is_multipart: bool = True
    has_open_loop: bool = True
    overload_options: tuple[str, ...] = ()
    is_bfloat16: bool = False
    bound: tuple[str, ...] = ()
    environment: str | None = None

    @property
    def name(self) -> str:
        """Name in the report."""
        return self.spec.name

    @property
    def is_ours(self) -> bool:
        """Whether it is Keraserve."""
        return self.name.startswith(OURS)


@dataclass(frozen=True, slots=True)
class Work:
    """What all have to do.

    Attributes:
        model: Name of the published model.
        version: Its folder.
        saved_model: The export of it for the peers.
        pictures: Folder of the PNG files.
        shape: ``(H, W, C)`` that the network takes.
        labels: In the order of the scores.
    """

    model: str
    version: Path
    saved_model: Path
    pictures: Path
    shape: tuple[int, int, int]
    labels: Labels = field(default_factory=list)


def multipart(target: str) -> Callable[[Path], bytes]:
    """Return a maker of uploads as browsers and curl send them."""
    return lambda file: image_request(file, HOST, target, "multipart")


def binary_tensor(shape: tuple[int, int, int]) -> Callable[[Path], bytes]:
    """Return a maker of decoded pixels in the binary tensor extension of the protocol."""

    def make(file: Path) -> bytes:
        height, width, channels = shape
        image = Image.open(file).convert("RGB" if channels == 3 else "L")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return triton_request("UINT8", [1, *shape], np.asarray(image, np.uint8).tobytes())

    return make


def binary_file(file: Path) -> bytes:
    """Return a whole file as one BYTES element: its length, then itself."""
    content = file.read_bytes()
    return triton_request("BYTES", [1, 1], struct.pack("<I", len(content)) + content)


def triton_request(datatype: str, shape: list[int], tensor: bytes) -> bytes:
    """Return an inference request with a binary input and a binary output."""
    inputs = {
        "name": "images",
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(tensor)},
    }
    outputs = {"name": "scores", "parameters": {"binary_data": True}}
    text = json.dumps({"inputs": [inputs], "outputs": [outputs]}, separators=(",", ":")).encode()
    head = (
        f"POST {TRITON_PATH} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n"
        "Content-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + len(tensor)}\r\n\r\n"
    )
    return head.encode() + text + tensor


def label_of_json(body: bytes, labels: Labels) -> str:
    """Read ``{"predictions": [{"label": …}, …]}``; of BentoML, a list of one of these."""
    answer: Any = json.loads(body)
    if isinstance(answer, list):
        (answer,) = answer
    return str(answer["predictions"][0]["label"])


def label_of_tensor(body: bytes, labels: Labels) -> str:
    """Read the binary output: the last ``4 K`` bytes are the float32 scores."""
    scores: NDArray[np.float32] = np.frombuffer(body[-4 * len(labels) :], "<f4")
    return labels[int(scores.argmax())]


def keraserve(name: str, work: Work, settings: dict[str, str], **more: Any) -> Contestant:
    """Return Keraserve with its defaults but for ``settings``; ``more`` is the contestant's."""
    environment = {
        "KERASERVE_PORT": "{port}",
        "KERASERVE_MODELS": work.model,
        "KERASERVE_DEFAULT_MODEL": work.model,
        "KERASERVE_MODEL_DIR": str(work.version.parent.parent.resolve()),
    }
    # What spares executions would make a few pictures, sent again and again, look fast.
    reuse = {name: value for name, value in REUSE_OFF.items() if name in Settings.model_fields}
    settings = {name.upper(): value for name, value in (reuse | settings).items()}
    spec = ServerSpec(
        name=name,
        command=("-m", "app", "serve"),
        target="/v1/classify",
        ready_path="/readyz",
        environment=environment | {f"KERASERVE_{name}": value for name, value in settings.items()},
    )
    return Contestant(spec, multipart(spec.target), label_of_json, **more)


def peer(
    name: str, work: Work, folder: str, python: Path, options: tuple[str, ...], ready: str
) -> Contestant:
    """Return a peer with an HTTP route that takes uploads."""
    spec = ServerSpec(
        name=name,
        command=peer_command(folder, work, options),
        target="/classify",
        ready_path=ready,
        environment=QUIET,
        python=str(python),
    )
    return Contestant(spec, multipart(spec.target), label_of_json, environment=folder)


def triton(name: str, work: Work, python: Path, options: tuple[str, ...]) -> Contestant:
    """Return Triton; ``--encoded`` among the options says what it takes."""
    spec = ServerSpec(
        name=name,
        command=peer_command("triton", work, options),
        target=TRITON_PATH,
        ready_path="/v2/health/ready",
        environment=QUIET,
        python=str(python),
    )
    make = binary_file if "--encoded" in options else binary_tensor(work.shape)
    return Contestant(spec, make, label_of_tensor, is_multipart=False, environment="triton")


def peer_command(folder: str, work: Work, options: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments of the interpreter that start a peer."""
    module = f"benchmarks.peers.{folder}.server"
    model = ("--saved-model", str(work.saved_model.resolve()))
    return ("-m", module, *model, "--port", "{port}", *options)
