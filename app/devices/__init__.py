"""What the devices do and hold, for whoever runs the service.

``timer``: how long each one has executed. ``nvidia``: what NVIDIA's driver says of a GPU.
``metrics``: both of them, and what engines tell of their memory, as Prometheus metrics.
"""
