"""What the images that are served look like, and how far that is from what a version learnt from.

``window``
    ``DriftWindow``: the last images of one version, in numbers.
``stability``
    The population stability index.
``comparison``
    A window beside the statistics of its version's manifest.
``monitor``
    ``DriftMonitor``: all windows, as Prometheus gauges.
``policy``
    How long a window is.
"""
