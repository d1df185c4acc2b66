"""Evaluation: from a network and images to figures, pictures and a page; needs no Keras.

- ``study``: everything that is measured about one network. ``evaluate``: what its probabilities
  for the test images say. ``calibration``: the temperature. ``corruptions``: damaged images.
- ``reports``: the files. ``plots`` and ``picture_plots``: their pictures. ``report_page``: the
  page, from ``report_template`` and ``html_parts``.
"""
