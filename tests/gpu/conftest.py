"""A process has one Keras backend: which of the two engines is tested, ``KERAS_BACKEND`` says."""

from __future__ import annotations

import os

_IS_JAX = os.environ.get("KERAS_BACKEND") == "jax"
collect_ignore = ["test_gpu_engine.py" if _IS_JAX else "test_jax_on_gpu.py"]
