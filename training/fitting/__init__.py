"""Fitting: from a configuration and images to weights, over as many sessions as it takes.

- ``train``: the loop over phases and epochs. ``run_directory``: its state on disk.
- ``batches`` and ``augmentation``: what the network sees. ``optimizers``: how it follows.
- ``course``: what the history of a run decides (best epoch, stopping, plateaus), as pure functions.
- ``callbacks``: what happens at the borders of an epoch. ``progress``, ``tensorboard``: observers.
- ``hardware``: what this machine computes with.
"""
