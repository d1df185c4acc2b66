"""The Keraserve service: upload an image, get ranked labels.

Packages, from the top down (imports point strictly downward, ``tests/test_layering.py``):
``main`` > ``api`` > ``lifecycle`` > ``inference`` > ``batching``, ``runtime``, ``registry``,
``imaging`` > ``artifacts``, ``metrics``, ``logging`` > ``types``, ``errors``.
"""

__version__ = "0.1.0"
