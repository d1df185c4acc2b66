"""The only package of the service that touches an engine.

``policy``
    Choice of engine, precision and batch sizes.
``choices``
    Which engines and precisions are tried for a version.
``preparing``
    From a version folder to a servable that has proved itself.
``loader``
    ``load_servable``: from a version folder to a ``Servable`` of one engine.
``tensorflow_engine``
    Keras networks through TensorFlow, on a GPU or the CPU.
``saved_model``
    Frozen graphs, for the same engine.
``openvino_engine``, ``openvino_export``
    The same networks on CPUs without TensorFlow, and how they come to that form.
``padding``
    Batches to allowed sizes and back.
``self_test``
    Whether a servable reproduces what training computed.
"""
