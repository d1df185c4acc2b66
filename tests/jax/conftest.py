"""These tests need a process of their own: one in which Keras computes with JAX.

``tests/keras/test_jax_engine.py`` starts it. By hand, as that does:
``KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m pytest tests/jax``
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("KERAS_BACKEND") == "jax" else ["test_*.py"]
