from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.keras

ROOT = Path(__file__).parents[4]
IMPORT = (
    "import sys; from training.commands.quiet import import_tensorflow; import_tensorflow(); "
    "print('imported', 'tensorflow' in sys.modules); print('afterwards', file=sys.stderr)"
)


def run(*places: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, [*places, ROOT]))
    return subprocess.run(
        [sys.executable, "-c", IMPORT],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": path},
    )


def test_tensorflow_is_imported_without_its_notes() -> None:
    done = run()

    assert done.stdout == "imported True\n"
    assert done.stderr == "afterwards\n"


def test_what_else_is_said_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 port.cc:153] oneDNN custom operations are on.\\n')\n"
        "os.write(2, b'E0000 something is wrong\\n')\n"
    )

    done = run(tmp_path)

    assert done.stderr == "E0000 something is wrong\nafterwards\n"


def test_import_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('half installed')")

    done = run(tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: half installed"
