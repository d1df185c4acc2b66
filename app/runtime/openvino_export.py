"""Writes the network of a version once more, for the openvino engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import openvino as ov

from app.artifacts.layout import OPENVINO_MODEL, SAMPLES
from app.artifacts.manifest import Manifest, SelfTestTolerance
from app.artifacts.samples import read_samples
from app.errors import ArtifactError
from app.runtime.openvino_engine import OpenVinoServable
from app.runtime.self_test import run_self_test
from app.runtime.tensorflow_engine import scores_function
from app.runtime.tensorflow_loading import load_network

_SAME = SelfTestTolerance(min_top1_agreement=0.99, max_deviation=1e-3)
"""In float32 the same network computes the same: 3e-6 was measured. Two classes that are nearly
equal may change places."""

_BATCH = 32


def export_openvino(folder: Path, manifest: Manifest, target: Path) -> None:
    """Convert the network of a version, calibration included; takes seconds and both engines.

    OpenVINO reads the graph that TensorFlow would execute. Its own converter for Python objects
    does the same with more dependencies, and reports its use to its makers.

    Weights stay float32: stored as float16 they are half as large, and a host that computes in
    float32 is then off by 3e-3 instead of 3e-6 (the CIFAR-10 network, over its samples).

    Args:
        folder: Of the version.
        manifest: Its description.
        target: The folder to make; ``model.xml`` and ``model.bin`` are written into it, or
            nothing is.

    Raises:
        ArtifactError: OpenVINO cannot express the network, or computes something else.
    """
    calibration, takes = manifest.calibration, manifest.input
    scores_of = scores_function(
        load_network(folder, manifest),
        takes.spec,
        "/CPU:0",
        (calibration.temperature, takes.scale, takes.offset),
    )
    part = target.with_name(f".{target.name}.part")
    part.mkdir()
    try:
        graph = part / "graph.pb"
        graph.write_bytes(scores_of.graph.as_graph_def().SerializeToString())
        try:
            network = ov.Core().read_model(graph)
            ov.save_model(network, part / Path(OPENVINO_MODEL).name, compress_to_fp16=False)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ArtifactError(f"OpenVINO cannot express the network: {first}") from error
        del network  # it maps the file
        graph.unlink()
        _require_same_scores(part / Path(OPENVINO_MODEL).name, manifest, folder)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _require_same_scores(path: Path, manifest: Manifest, folder: Path) -> None:
    samples = read_samples(folder / SAMPLES)
    spec, classes = manifest.input.spec, len(manifest.classes)
    servable = OpenVinoServable(path, spec, classes, (_BATCH,), "float32")
    try:
        run_self_test(servable.execute, samples, _SAME, _BATCH)
    finally:
        servable.close()
