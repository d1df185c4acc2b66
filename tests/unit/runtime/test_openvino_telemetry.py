import os
import subprocess
import sys

# OpenVINO sends nothing where CI is set, and the tests run there as well.
PROGRAM = """
import app.runtime.openvino_engine
from openvino.tools.ovc import telemetry
print(type(telemetry).__module__)
"""


def test_openvino_is_imported_without_what_it_would_report_home_with() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
