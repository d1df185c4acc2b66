"""TensorFlow without the notes that it prints when it is imported."""

from __future__ import annotations

import os
import re
import sys
import tempfile

_NOTES = re.compile(rb"All log messages before absl::InitializeLog|oneDNN custom operations are on")
"""TensorFlow 2.21 prints these whatever the log level is."""

_STDERR = 2


def import_tensorflow() -> None:
    """Import it for the first time in this process; all else that it says is passed on.

    Errors and warnings that come later are its own affair, but information is turned off: it is
    a page on CPU instructions and on CUDA libraries that a machine without a GPU does not have.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), _STDERR)  # it writes to the descriptor, not to sys.stderr
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            said.seek(0)
            for line in said:
                if not _NOTES.search(line):
                    os.write(_STDERR, line)
