from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_no_engine_is_imported_to_find_out_what_tensorflow_could_compute_in() -> None:
    script = (
        "import sys\n"
        "from app.runtime.host import ThisHost\n"
        "host = ThisHost()\n"
        "assert host.has_tensorflow_bfloat16 in (True, False)\n"
        "assert host.has_tensorflow in (True, False)\n"
        "assert host.has_jax in (True, False)\n"
        "print({'tensorflow', 'openvino', 'jax', 'keras'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
