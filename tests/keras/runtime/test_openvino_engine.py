"""The exported network: the same answers, without TensorFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.artifacts.checksums import folder_records
from app.artifacts.layout import OPENVINO_MODEL, SAMPLES
from app.artifacts.manifest import read_manifest
from app.artifacts.publish import write_manifest
from app.artifacts.samples import Samples, read_samples, write_samples
from app.cli import main
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.openvino_engine import OpenVinoServable
from app.runtime.openvino_export import export_openvino
from app.runtime.policy import EnginePolicy
from app.types import ImageArray, InputSpec
from tests.keras.server_process import ROOT

pytestmark = pytest.mark.keras

NAME = "fashion_mnist"
SHIPPED = max((ROOT / "models" / NAME).glob("[0-9]*"), key=lambda folder: int(folder.name))
SPEC = InputSpec(28, 28, 1)
SIZES = (1, 4, 8)


def images(count: int) -> ImageArray:
    return np.random.default_rng(count).integers(0, 256, (count, *SPEC.shape), np.uint8)


@pytest.fixture(scope="module")
def exact() -> OpenVinoServable:
    return OpenVinoServable(SHIPPED / OPENVINO_MODEL, SPEC, 10, SIZES, "float32")


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
def test_any_number_of_images_gets_the_answers_of_tensorflow(
    exact: OpenVinoServable, count: int
) -> None:
    policy = EnginePolicy("tensorflow", "float32", SIZES)
    other = load_servable(SHIPPED, read_manifest(SHIPPED), policy)
    scores = exact.execute(images(count))
    assert scores.shape == (count, 10)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, other.execute(images(count)), atol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_answers_are_not_written_over_by_the_next_batch(exact: OpenVinoServable) -> None:
    first = exact.execute(images(4))
    kept = first.copy()
    exact.execute(images(3))
    np.testing.assert_array_equal(first, kept)


def test_bfloat16_is_near(exact: OpenVinoServable) -> None:
    rough = OpenVinoServable(SHIPPED / OPENVINO_MODEL, SPEC, 10, SIZES, "bfloat16")
    samples = read_samples(SHIPPED / SAMPLES).images[:8]
    assert np.abs(rough.execute(samples) - exact.execute(samples)).max() < 0.05
    assert (rough.info.engine, rough.info.precision) == ("openvino", "bfloat16")


def test_images_that_are_a_view_are_read_as_they_look(exact: OpenVinoServable) -> None:
    turned = images(4)[:, ::-1]
    np.testing.assert_array_equal(exact.execute(turned), exact.execute(turned.copy()))


def test_tensorflow_is_not_imported() -> None:
    code = (
        "import sys; from pathlib import Path; from app.version_check import check_version;"
        "from app.runtime.policy import EnginePolicy;"
        f"found = check_version(Path({str(SHIPPED)!r}), EnginePolicy());"
        "assert found.engine == 'openvino', found;"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("spec", "classes", "named"),
    [(InputSpec(32, 28, 1), 10, r"\[\?,32,28,1\] u8"), (SPEC, 11, r"\[\?,11\] f32")],
    ids=["another input", "another number of classes"],
)
def test_network_that_is_not_what_the_manifest_says_is_refused(
    spec: InputSpec, classes: int, named: str
) -> None:
    with pytest.raises(ArtifactError, match=named):
        OpenVinoServable(SHIPPED / OPENVINO_MODEL, spec, classes, SIZES, "float32")


@pytest.mark.parametrize("content", ["", "<net/>", "not xml"], ids=["empty", "no layers", "text"])
def test_file_that_is_no_network_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.xml").write_text(content)
    with pytest.raises(ArtifactError, match=r"model\.xml cannot be loaded by OpenVINO"):
        OpenVinoServable(tmp_path / "model.xml", SPEC, 10, SIZES, "float32")


class TestExport:
    def test_version_is_published_once_more_with_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = tmp_path / NAME
        old = store / SHIPPED.name
        shutil.copytree(SHIPPED, old)
        shutil.rmtree(old / "openvino")
        manifest = read_manifest(old)
        (old / "manifest.json").unlink()
        write_manifest(old, manifest.model_copy(update={"files": folder_records(old)}))

        assert main(["models", "export", str(old)]) == 0

        (new,) = [folder for folder in store.glob("[0-9]*") if folder != old]
        published = read_manifest(new)
        assert OPENVINO_MODEL in published.files
        assert published.republished_from == (manifest.republished_from or manifest.version)
        assert published.metrics == manifest.metrics
        assert f"published {new}" in capsys.readouterr().out
        assert main(["models", "check", str(new)]) == 0
        assert "openvino" in capsys.readouterr().out
        assert main(["models", "export", str(new)]) == 0
        assert "nothing to export" in capsys.readouterr().out

    def test_export_that_computes_something_else_leaves_nothing(self, tmp_path: Path) -> None:
        folder = tmp_path / "version"
        shutil.copytree(SHIPPED, folder)
        samples = read_samples(folder / SAMPLES)
        others = np.roll(samples.probabilities, 1, axis=1)
        write_samples(folder / SAMPLES, Samples(samples.images, others, samples.labels))
        with pytest.raises(ArtifactError, match="self-test"):
            export_openvino(folder, read_manifest(folder), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["version"]

    def test_folder_that_exists_is_left_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["models", "export", str(SHIPPED), "--to", str(tmp_path)]) == 2
        assert f"{tmp_path} exists" in capsys.readouterr().err
