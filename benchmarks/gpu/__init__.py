"""The jax engine and the whole service on a GPU, without TensorFlow and OpenVINO.

``python -m benchmarks.gpu --output DIR`` ends within its time limit and has written what it knew.

``executions``
    A network alone: execution, copy, and both beside each other, by precision and batch size.
``serving``
    The server's process under closed loops.
``large_network``
    A ResNet-50 with random weights, published as any other version.
``utilisation``
    What ``nvidia-smi`` says meanwhile.
"""
