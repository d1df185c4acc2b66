"""What JAX reads from the environment of the process, set before JAX is imported."""

from __future__ import annotations

import os


def configure_jax(threads: int = 0) -> None:
    """Let GPU memory grow with need, and bound the cores; what the operator has set stays.

    Counts only before JAX first looks for devices.

    Args:
        threads: Cores that one execution takes on a CPU; 0: all that the process may use. All
            networks of a process share them.
    """
    # Else JAX takes three quarters of a GPU's memory at its first use.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if threads:
        os.environ.setdefault("PJRT_NPROC", str(threads))
