"""The only package of the service that touches an engine.

``policy``
    Choice of engine, precision and batch sizes.
``loader``
    ``load_servable``: from a version folder to a ``Servable``.
``tensorflow_engine``
    Keras networks through TensorFlow, on a GPU or the CPU.
``saved_model``
    Frozen graphs, for the same engine.
``padding``
    Batches to allowed sizes and back.
``self_test``
    Whether a servable reproduces what training computed.
"""
