"""The only package of the service that touches an engine.

``policy``
    Choice of engine, precision and batch sizes.
``choices``, ``host``
    Which engines and precisions are tried for a version, and what this machine has.
``preparing``
    From a version folder to a servable that has proved itself.
``loader``
    ``load_servable``: from a version folder to a ``Servable`` of one engine.
``tensorflow_engine``, ``tensorflow_devices``, ``tensorflow_loading``
    Keras networks through TensorFlow, on one GPU or the CPU; the devices; one version on all.
``jax_engine``, ``jax_devices``, ``jax_loading``, ``jax_environment``
    The same networks through JAX; what JAX reads before it is imported.
``keras_backend``, ``keras_file``
    Which of the two Keras computes with; reading networks with either.
``mixed_precision``, ``xla_choice``
    The same network in 16 bits; whether XLA makes TensorFlow faster.
``servable_group``
    Several devices as one servable.
``staged_images``
    A batch that lies on a device, until it is executed.
``saved_model``
    Frozen graphs, for the same engine.
``openvino_engine``, ``openvino_export``
    The same networks on CPUs without TensorFlow, and how they come to that form.
``padding``
    Batches to allowed sizes and back.
``self_test``
    Whether a servable reproduces what training computed.
"""

import sys

# OpenVINO tells Google Analytics that it is imported, unasked. Without the package that does so, it
# does without: this server asks no other host, nor waits at its end for one to answer.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
